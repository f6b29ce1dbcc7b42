"""Each printed table and the configurations that are said to reproduce it."""

import csv
from functools import cache
from pathlib import Path

import pytest

from configured import resolved, stacked
from test_overlays import given_roots, names_in_head

ROOT = Path(__file__).parents[1]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


STATED = {row["table"]: row for row in rows_of(ROOT / "resources/reproduced.csv")}
PRINTED = [row for path in (ROOT / "resources/paper").glob("*.csv") for row in rows_of(path) if "value" in row]


@cache
def studies_of(name: str) -> list[dict]:
    names = names_in_head(ROOT / f"config/{name}.yaml")
    config = stacked(*names)
    plan = resolved(stacked(*names, given=given_roots(config, "data")))
    return list(plan["studies"].values())


def cells_of(name: str, table: str) -> set[tuple[str, str]]:
    """Row and column of everything that a configuration's studies compare with a printed table."""
    cells: set[tuple[str, str]] = set()
    for study in (one for one in studies_of(name) if table in one["paper"]):
        more = [summary["column"] for summary in study["summaries"]] + ["parameters"] * study["parameters"]
        cells |= {(label, column) for label, row in study["rows"].items() for column in [*row, *more]}
    return cells


def printed_cells(table: str) -> set[tuple[str, str]]:
    return {(row["row"], row["column"]) for row in PRINTED if row["table"] == table}


def test_every_printed_table_is_listed_once():
    assert sorted(STATED) == sorted({row["table"] for row in PRINTED})
    assert len(rows_of(ROOT / "resources/reproduced.csv")) == len(STATED)


@pytest.mark.parametrize("table", [table for table, row in STATED.items() if row["paper_scale"]])
def test_at_paper_scale_every_printed_number_has_its_cell(table):
    assert printed_cells(table) - cells_of(STATED[table]["paper_scale"], table) == set()


@pytest.mark.parametrize("table", [table for table, row in STATED.items() if row["small"]])
def test_the_small_configuration_computes_a_part_of_it(table):
    assert printed_cells(table) & cells_of(STATED[table]["small"], table)
