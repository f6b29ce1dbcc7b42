"""The table of differences of a study: each row against the best, the row above it, and a reference."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from pipeline_lib.reporting.best import best_rows
from pipeline_lib.reporting.cells import Measured, Numbers
from pipeline_lib.reporting.faults import with_faults
from pipeline_lib.reporting.paired import compare, holm

BEST, ABOVE, REFERENCE = "best", "row above", "reference"
COLUMNS = (
    *("table", "against", "row", "other", "column"),
    *("difference", "low", "high", "p", "p_holm", "n", "seeds", "faults"),
)
NUMBERS = ("difference", "low", "high", "p", "p_holm")


def build_differences(layout: Mapping[str, Any], table: pd.DataFrame, numbers: Numbers) -> pd.DataFrame:
    """Return the differences in long form: `COLUMNS`, row minus other in points, missing values empty.

    table: of `tables.table_of` with the same layout and numbers. against: `BEST` (of the column, among sound numbers
    without a flag), `ABOVE`, or `REFERENCE` (the layout's `reference`, if it has one). p: of `paired.compare`; p_holm:
    corrected for all p of the table that are against the same. A summary without scores has a difference only.
    faults: of either number, according to an audit.
    """
    shown = with_faults(table, layout)
    faults = dict(zip(zip(shown["row"], shown["column"], strict=True), shown["faults"], strict=True))
    records = []
    for against, row, other, column in pairs(layout, table):
        first, second = numbers.rows[row].get(column), numbers.rows[other].get(column)
        if first and second and row != other:
            named = {"table": layout["name"], "against": against, "row": row, "other": other, "column": column}
            words = ", ".join(sorted({faults[row, column], faults[other, column]} - {""}))
            records.append(named | difference(first, second, named) | {"faults": words})
    found = pd.DataFrame(records, columns=list(COLUMNS)).astype({**dict.fromkeys(NUMBERS, float), "n": "Int64"})
    for _, same in found.groupby("against"):
        found.loc[same.index, "p_holm"] = holm(same["p"].tolist())
    return found


def pairs(layout: Mapping[str, Any], table: pd.DataFrame) -> Iterator[tuple[str, str, str, str]]:
    """Yield against, row, other row and column of all comparisons of the table."""
    columns = [*layout["columns"], *(summary["column"] for summary in layout["summaries"])]
    labels = [row["label"] for row in layout["rows"]]
    best, reference = best_rows(table[table["best"]]), layout.get("reference")
    for row in labels:
        yield from ((BEST, row, best[column], column) for column in columns if column in best)
    for above, row in pairwise(labels):
        yield from ((ABOVE, row, above, column) for column in columns)
    if reference is not None:
        yield from ((REFERENCE, row, reference, column) for row in labels for column in columns)


def difference(first: Measured, second: Measured, named: Mapping[str, str]) -> dict[str, Any]:
    """Return difference, interval, p, n and seeds of two cells; only the difference if one has no scores."""
    plain = {"difference": first.cell.measured - second.cell.measured, "seeds": ""}
    if first.scores is None or second.scores is None:
        return plain
    found = compare(first.scores, second.scores, *(named[key] for key in ("table", "column", "row", "other")))
    if found is None:
        return plain
    measured = {key: getattr(found, key) for key in ("difference", "low", "high", "p", "n")}
    return measured | {"seeds": " ".join(map(str, found.seeds))}
