"""The CSV of a table: a row of each seed below the pooled one, and what both were measured by."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline_lib.reporting.cells import measure
from pipeline_lib.reporting.facts import Fact
from pipeline_lib.reporting.long_form import BESIDE, facts_of_cell, in_words, long_form
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.tables import table_of
from pipeline_lib.reporting.worst_cases import with_worst_cases
from test_tables import PAPER, layout_of
from test_worst_tables import with_worst

ROWS = {"None": {"clean": ["1" * 40, "1" * 20 + "0" * 20], "pgd": ["1" * 30 + "0" * 10, "1" * 10 + "0" * 30]}}
WORST = {"None": ["0" * 40, "1" * 10 + "0" * 30]}


def fact(identity: str, **changes: str) -> Fact:
    return Fact(**{"identity": identity, "attack": "PGD", "model": "a", "data": "d"} | changes)


def test_facts_in_words_are_what_all_have_in_common_and_their_identities() -> None:
    one, other, third = fact("x"), fact("y", model="b"), fact("x", attack="clean", data="e")
    assert in_words([[one]]) == {"attack": "PGD", "model": "a", "data": "d", "identity": "x"}
    assert in_words([[one, other], [one]]) == {"attack": "PGD", "model": "", "data": "d", "identity": "x y"}
    assert in_words([[one], [third]]) == {"attack": "", "model": "a", "data": "", "identity": "x"}
    assert in_words([]) == dict.fromkeys(("attack", "model", "data", "identity"), "")


def test_facts_of_a_cell_are_by_seed_and_of_a_summary_those_of_all_columns() -> None:
    one, two, three = fact("x"), fact("y"), fact("z")
    facts = {"clean": [one, two], "pgd": [three], "apgd": [None]}
    clean, mean, size = (
        {"column": name, "seeds": seeds} for name, seeds in (("clean", "0 1"), ("mean", "0"), ("p", ""))
    )
    assert facts_of_cell(clean, facts) == {0: [one], 1: [two]}
    assert facts_of_cell(mean, facts) == {0: [one, three], 1: [two]}
    assert facts_of_cell(size, facts) == facts_of_cell(mean, {}) == {}


@pytest.mark.parametrize("worst", [{}, WORST])
def test_each_seed_has_its_own_numbers_and_nothing_that_compares_rows(tmp_path: Path, worst) -> None:
    layout = with_worst(tmp_path, ROWS, worst)
    numbers = measure(layout)
    table = with_worst_cases(table_of(layout, PAPER, numbers), layout, numbers)
    found = long_form(table, numbers, {})
    assert found.columns.tolist() == [*table.columns, *BESIDE]
    pooled = found[found["seed"] == ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(pooled[table.columns], table)
    assert pooled["best"].all()
    rows = found[(found["seed"] != "") & (found["column"] == "pgd")].to_dict("records")
    for row, seed, percent in zip(rows, "01", (75.0, 25.0), strict=True):
        expected = {"seed": seed, "seeds": seed, "measured": percent, "n": 40, "best": False, "flag": ""}
        expected |= {"table": "study", "row": "None", "paper": 3.25, "difference": percent - 3.25, "constant": 10.0}
        expected |= {"attack": "", "model": "", "data": "", "identity": ""}
        expected |= dict(zip(("low", "high"), wilson(percent, 40), strict=True))
        assert {name: row[name] for name in expected} == expected
    of_seeds = found[found["seed"] != ""]
    if worst:
        assert of_seeds["weak"].tolist() == [False, False, True, False, True, False, True, False]
        assert [row["worst"] for row in rows] == [0.0, 25.0]
        assert not of_seeds["worst_best"].any()
        assert (of_seeds["worst_flag"] == "").all()


def test_without_measured_numbers_there_are_no_seeds(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    table = table_of(layout, PAPER, measure(layout))
    facts = {("None", "clean"): [fact("w"), None], ("None", "pgd"): [fact("x"), fact("y", model="b")]}
    found = long_form(table, None, facts)
    assert (found["seed"] == "").all()
    assert found["identity"].tolist() == ["w", "x y", "w x y", "w x y"]
    assert found["model"].tolist() == ["a", "", "", ""]
    assert found["attack"].tolist() == ["PGD"] * 4
