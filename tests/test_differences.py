"""The table of differences: which rows are compared, with what numbers, and how it is written."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binomtest

from pipeline_lib.reporting.cells import measure
from pipeline_lib.reporting.difference_files import write_differences
from pipeline_lib.reporting.differences import COLUMNS, build_differences
from pipeline_lib.reporting.formats import pair_text
from pipeline_lib.reporting.pairs import PAIR_NUMBERS, PAIR_TEXTS, pair_notes, with_pairs
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import read_table, table_of
from pipeline_lib.reporting.worst_cases import with_worst_cases
from test_audit_table import audit_entry
from test_tables import KINDS, PAPER, layout_of, summaries
from test_worst_tables import with_worst

MINUS = "\u2212"
ROWS = {
    "None": {"clean": ["1" * 40], "pgd": ["0" * 40]},
    "AT-PGD": {"clean": ["1" * 20 + "0" * 20], "pgd": ["1" * 24 + "0" * 16]},
    "TRADES 6": {"clean": ["0" * 9 + "1" * 31], "pgd": ["1" * 19 + "0" * 20 + "1"]},
}


def differences(layout: dict[str, Any]) -> pd.DataFrame:
    numbers = measure(layout)
    table = with_worst_cases(table_of(layout, PAPER, numbers), layout, numbers)
    return build_differences(layout, table, numbers)


def one(found: pd.DataFrame, against: str, row: str, column: str) -> dict:
    (record,) = found.query("against == @against and row == @row and column == @column").to_dict("records")
    return record


def test_each_row_is_compared_with_the_best_the_one_above_and_the_reference(tmp_path: Path) -> None:
    found = differences(layout_of(tmp_path, ROWS, reference="None"))
    assert found.columns.tolist() == list(COLUMNS)
    pairs = {
        against: {(record["row"], record["other"]) for record in records.to_dict("records")}
        for against, records in found[found["column"] == "pgd"].groupby("against")
    }
    assert pairs == {
        "best": {("None", "AT-PGD"), ("TRADES 6", "AT-PGD")},
        "row above": {("AT-PGD", "None"), ("TRADES 6", "AT-PGD")},
        "reference": {("AT-PGD", "None"), ("TRADES 6", "None")},
    }
    record = one(found, "best", "TRADES 6", "pgd")
    assert (record["difference"], record["n"], record["seeds"]) == (-10, 40, "0")
    assert record["p"] == pytest.approx(binomtest(1, 6).pvalue)
    assert record["low"] < -10 < record["high"]


def test_holm_counts_the_comparisons_with_the_same(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS, reference="None")
    both, without = differences(layout), differences(layout | {"reference": None})
    pd.testing.assert_frame_equal(both[both["against"] != "reference"], without)
    best = without[without["against"] == "best"].sort_values("p")
    assert best["p_holm"].iloc[0] == pytest.approx(best["p"].iloc[0] * len(best))
    assert (best["p_holm"] >= best["p"]).all()


def test_the_best_is_never_one_that_an_audit_denies(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    masked = layout["rows"][1]
    masked["audits"] = {"pgd": [audit_entry(tmp_path, zero_gradients=1.0)["audit"]]}
    found = differences(layout)
    record = one(found, "best", "AT-PGD", "pgd")
    assert (record["other"], record["faults"]) == ("TRADES 6", "masked gradient")


def test_bold_numbers_are_those_that_the_best_is_not_decided_to_be_above(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    numbers = measure(layout)
    table = table_of(layout, PAPER, numbers)
    found = build_differences(layout, table, numbers).query("against == 'best' and p_holm < 0.05")
    below = set(zip(found["row"], found["column"], strict=True))
    sound = table[table["flag"] == ""]
    bold = set(zip(sound["row"][sound["best"]], sound["column"][sound["best"]], strict=True))
    assert bold == set(zip(sound["row"], sound["column"], strict=True)) - below
    assert ("TRADES 6", "pgd") in bold
    assert ("AT-PGD", "clean") in below


@pytest.mark.parametrize(("level", "bold"), [(2**-4, [True, True]), (2**-3.9, [True, False])])
def test_a_number_is_bold_whose_difference_has_a_p_at_the_level(tmp_path: Path, monkeypatch, level, bold) -> None:
    """Of five clips, all of which are correct in the first row only."""
    monkeypatch.setattr("pipeline_lib.reporting.best.LEVEL", level)
    rows = {"AT": {"clean": ["1" * 20]}, "None": {"clean": ["1" * 15 + "0" * 5]}}
    layout = layout_of(tmp_path, rows, columns=["clean"], summaries=[])
    assert table_of(layout, PAPER, measure(layout))["best"].tolist() == bold


def test_a_summary_without_scores_and_rows_without_common_seeds_have_a_difference_only(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    layout["rows"][1]["seeds"] = [3]
    record = one(differences(layout), "row above", "TRADES 6", "clean")
    assert record["difference"] == pytest.approx(27.5)
    assert pd.isna([record["low"], record["p"], record["p_holm"]]).all()
    assert record["seeds"] == ""


def test_several_seeds_are_averaged_over_those_of_both(tmp_path: Path) -> None:
    rows = {"None": {"clean": ["1100", "1111"]}, "AT": {"clean": ["0000", "1110"]}}
    layout = layout_of(tmp_path, rows, columns=["clean"], summaries=summaries("union"))
    record = one(differences(layout), "row above", "AT", "clean")
    assert (record["difference"], record["seeds"]) == (pytest.approx(-37.5), "0 1")
    assert record["p"] == pytest.approx(2 / 8)  # three clips of the same sign


def written(folder: Path, layout: dict[str, Any]) -> dict[str, str]:
    paths = {kind: folder / f"d.{ending}" for kind, ending in KINDS.items()}
    write_differences(differences(layout), layout, **paths)
    return {kind: path.read_text() for kind, path in paths.items()}


def test_the_wide_forms_name_the_other_row_and_what_is_decided(tmp_path: Path) -> None:
    texts = written(tmp_path, layout_of(tmp_path, ROWS, reference="None"))
    markdown = " ".join(texts["markdown"].split())
    assert "pgd (best: AT-PGD)" in markdown
    assert f"| AT-PGD {MINUS} None | {MINUS}50.0\\* [{MINUS}64.1, {MINUS}31.1] p \\< 0.001 |" in markdown
    assert "differences, against None" in markdown
    assert "n = 40 clips, seed 0" in markdown
    assert texts["html"].count("<h2>") == 3
    assert f"<b>{MINUS}50.0*</b><small>[{MINUS}64.1, {MINUS}31.1]</small><small>p &lt; 0.001</small>" in texts["html"]
    assert r"\label{tab:study-differences-row-above}" in texts["latex"]
    assert len(pd.read_csv(tmp_path / "d.csv")) == 8 + 8 + 8


WORST = {"AT-PGD": ["1" * 4 + "0" * 36], "TRADES 6": ["1" * 14 + "0" * 26]}


def test_rows_with_a_worst_case_are_compared_in_it_too(tmp_path: Path) -> None:
    layout = with_worst(tmp_path, ROWS, WORST, reference="None")
    found = differences(layout)
    own, worst = (found[found["under"] == under] for under in ("papers' attack", "worst case"))
    plain = {**layout, "rows": [{key: row[key] for key in ("label", "seeds", "cells")} for row in layout["rows"]]}
    pd.testing.assert_frame_equal(own, differences(plain))
    # Not against None, which has no worst case, and not in the clean column.
    assert set(worst["column"]) == {"pgd", "mean", "union"}
    assert {*zip(worst["row"], worst["other"], strict=True)} == {("TRADES 6", "AT-PGD"), ("AT-PGD", "TRADES 6")}
    record = one(worst, "best", "AT-PGD", "pgd")
    assert (record["other"], record["difference"]) == ("TRADES 6", -25)  # under the papers' attack it is the best
    assert record["p"] == pytest.approx(2 / 2**10)
    best = worst.query("against == 'best'")
    assert best["p_holm"].min() == pytest.approx(best["p"].min() * len(best))


def test_the_best_of_worst_cases_is_that_with_the_largest_worst_case(tmp_path: Path) -> None:
    """Of two rows that no test tells apart, and that have the other order under the paper's attack."""
    rows = {"AT": {"clean": ["1" * 40], "pgd": ["1" * 24 + "0" * 16]}, "MAX": {"clean": ["1" * 40]}}
    rows["MAX"]["pgd"] = ["1" * 25 + "0" * 15]
    found = differences(with_worst(tmp_path, rows, {"AT": ["1" * 15 + "0" * 25], "MAX": ["1" * 14 + "0" * 26]}))
    best = found.query("against == 'best' and column == 'pgd'")
    pairs = {(one["under"], one["row"], one["other"]) for one in best.to_dict("records")}
    assert pairs == {("papers' attack", "AT", "MAX"), ("worst case", "MAX", "AT")}


def test_the_faults_of_a_difference_are_those_of_both_numbers(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    for row, facts in zip(layout["rows"], ({"zero_gradients": 1.0}, {"box_excess": 1.0}, {}), strict=True):
        row["audits"] = {"pgd": [audit_entry(tmp_path, **facts)["audit"]]}
    found = differences(layout)
    assert one(found, "row above", "AT-PGD", "pgd")["faults"] == "bound broken, masked gradient"
    assert one(found, "row above", "TRADES 6", "pgd")["faults"] == "bound broken"


def test_worst_cases_have_tables_of_their_own(tmp_path: Path) -> None:
    texts = written(tmp_path, with_worst(tmp_path, ROWS, WORST))
    headings = [line for line in texts["markdown"].splitlines() if line.startswith("###")]
    kinds = ("against the best of each column", "against the row above")
    assert headings == [
        f"### study: differences, {kind}{case}" for kind in kinds for case in ("", ", in the worst case")
    ]
    assert "In the worst case: both numbers under the strongest attack" in texts["html"]
    assert r"\label{tab:study-differences-row-above-worst-case}" in texts["latex"]


PAIRED = {"TRADES 6": "AT-PGD"}


def test_pairs_are_compared_in_every_column_but_those_of_the_same_predictions(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS, reference=PAIRED)
    layout["rows"][2]["cells"]["clean"] = layout["rows"][1]["cells"]["clean"]
    found = differences(layout).query("against == 'pair'")
    assert found["column"].tolist() == ["pgd", "mean", "union"]
    assert {*zip(found["row"], found["other"], strict=True)} == {("TRADES 6", "AT-PGD")}
    best = differences(layout).query("against == 'best' and row == 'TRADES 6' and column == 'pgd'")
    assert found["difference"].iloc[0] == best["difference"].iloc[0] == -10
    assert found["p_holm"].iloc[0] < best["p_holm"].iloc[0] * 3  # corrected for the pairs only
    assert f"| TRADES 6 {MINUS} AT-PGD |" in " ".join(written(tmp_path, layout)["markdown"].split())


def test_a_table_shows_the_differences_of_its_pairs_and_of_the_printed_values(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS, reference=PAIRED)
    values = [("printed", "AT-PGD", "pgd", 41.61), ("printed", "TRADES 6", "pgd", 47.0)]
    paper = pd.concat([PAPER, pd.DataFrame(values, columns=PAPER.columns)])
    numbers = measure(layout)
    table = table_of(layout, paper, numbers)
    found = with_pairs(table, build_differences(layout, table, numbers))
    (record,) = found[(found["row"] == "TRADES 6") & (found["column"] == "pgd")].to_dict("records")
    assert (record["other"], record["minus"], round(record["paper_minus"], 2)) == ("AT-PGD", -10, 5.39)
    assert found[found["row"] != "TRADES 6"]["minus"].isna().all()
    assert (found[found["row"] != "TRADES 6"][[*PAIR_TEXTS]] == "").all(axis=None)
    pd.testing.assert_frame_equal(found[table.columns], table)
    paths = {kind: tmp_path / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(found, layout, None, numbers, **paths)
    texts = {kind: path.read_text() for kind, path in paths.items()}
    cell = pair_text(record)
    assert cell.startswith(f"{MINUS}10.0 [")
    assert cell.endswith(", paper +5.39")
    assert all(f"({cell})" in texts[kind] for kind in ("markdown", "html"))
    assert cell in texts["latex"]
    assert "(difference)" in texts["latex"]
    assert all(f"TRADES 6 {MINUS} AT-PGD. An asterisk" in texts[kind] for kind in ("markdown", "latex", "html"))
    read = read_table(paths["csv"])
    pd.testing.assert_frame_equal(read[["row", "column", *PAIR_TEXTS]], found[["row", "column", *PAIR_TEXTS]])
    pd.testing.assert_frame_equal(read[[*PAIR_NUMBERS]], found[[*PAIR_NUMBERS]].astype(float).round(4))


def test_the_note_names_each_pair_once() -> None:
    pairs = [("A", "B"), ("C", "B"), ("A", "B"), ("D", "")]
    table = pd.DataFrame([{"row": row, "other": other, "minus": 1.0} for row, other in pairs])
    (note,) = pair_notes(table, "clips")
    assert f"interval: A {MINUS} B; C {MINUS} B. An asterisk" in note


def test_a_table_without_pairs_stays_as_it_is(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS, reference="None")
    numbers = measure(layout)
    table = table_of(layout, PAPER, numbers)
    assert with_pairs(table, build_differences(layout, table, numbers)) is table
    assert pair_notes(table, "clips") == []


def test_one_row_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    texts = written(tmp_path, layout_of(tmp_path, {"None": {"clean": ["1100"]}}))
    assert texts["csv"].strip() == ",".join(COLUMNS)
    for kind in ("markdown", "latex", "html"):
        assert "Nothing to compare: a difference needs two rows" in texts[kind]
