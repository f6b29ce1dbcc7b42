"""The table of differences of a study: each row against the best, the row above it, and a reference or its pair.

Under the papers' attacks and, of numbers that have one, in the worst case.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from pipeline_lib.reporting.best import best_rows
from pipeline_lib.reporting.cells import Numbers
from pipeline_lib.reporting.faults import with_faults
from pipeline_lib.reporting.measured import Comparisons
from pipeline_lib.reporting.paired import holm

BEST, ABOVE, REFERENCE, PAIR = "best", "row above", "reference", "pair"
OWN, WORST = "papers' attack", "worst case"
COLUMNS = (
    *("table", "under", "against", "row", "other", "column"),
    *("difference", "low", "high", "p", "p_holm", "n", "seeds", "faults"),
)
NUMBERS = ("difference", "low", "high", "p", "p_holm")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Numbers that are compared: `OWN` or `WORST`, their cells, column -> best row, and faults by row and column."""

    under: str
    comparisons: Comparisons
    best: Mapping[str, str]
    faults: Mapping[tuple[str, str], str]


def build_differences(layout: Mapping[str, Any], table: pd.DataFrame, numbers: Numbers) -> pd.DataFrame:
    """Return the differences in long form: `COLUMNS`, row minus other in points, missing values empty.

    table: of `tables.build_table` with the same layout and numbers. under: `OWN`, or `WORST` for two rows with a worst
    case in the column. against: `BEST` (of the column, among sound numbers without a flag), `ABOVE`, and `REFERENCE` or
    `PAIR` (the layout's `reference`: one row, or one for each of some). p: of `paired.compare`; p_holm: corrected for
    all p under the same that are against the same. A summary without scores has a difference only. faults: of either
    number, according to an audit.
    """
    records = [
        record for compared in all_compared(layout, table, numbers) for record in differences_of(layout, compared)
    ]
    found = pd.DataFrame(records, columns=list(COLUMNS)).astype({**dict.fromkeys(NUMBERS, float), "n": "Int64"})
    for _, same in found.groupby(["under", "against"]):
        found.loc[same.index, "p_holm"] = holm(same["p"].tolist())
    return found


def all_compared(layout: Mapping[str, Any], table: pd.DataFrame, numbers: Numbers) -> Iterator[Compared]:
    """Yield the numbers of a table and, if it has any, those of its worst cases."""
    shown = with_faults(table, layout)
    places = list(zip(shown["row"], shown["column"], strict=True))
    faults = dict(zip(places, shown["faults"], strict=True))
    yield Compared(under=OWN, comparisons=numbers.comparisons, best=best_rows(table[table["best"]]), faults=faults)
    if numbers.worst:
        best = best_rows(table[table["worst_best"]].assign(measured=table["worst"]))
        faults = dict(zip(places, shown["worst_faults"], strict=True))
        yield Compared(under=WORST, comparisons=numbers.worst_comparisons, best=best, faults=faults)


def differences_of(layout: Mapping[str, Any], compared: Compared) -> Iterator[dict[str, Any]]:
    """Yield the records of all comparisons, p without correction."""
    for against, row, other, column in pairs(layout, compared.best):
        if row != other and all(column in compared.comparisons.rows[one] for one in (row, other)):
            named = {"table": layout["name"], "against": against, "row": row, "other": other, "column": column}
            words = ", ".join(sorted({compared.faults[row, column], compared.faults[other, column]} - {""}))
            yield named | difference(compared.comparisons, named) | {"under": compared.under, "faults": words}


def pairs(layout: Mapping[str, Any], best: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield against, row, other row and column of all comparisons of the table. best: column -> row."""
    columns = [*layout["columns"], *(summary["column"] for summary in layout["summaries"])]
    labels = [row["label"] for row in layout["rows"]]
    reference = layout.get("reference")
    for row in labels:
        yield from ((BEST, row, best[column], column) for column in columns if column in best)
    for above, row in pairwise(labels):
        yield from ((ABOVE, row, above, column) for column in columns)
    if isinstance(reference, str):
        yield from ((REFERENCE, row, reference, column) for row in labels for column in columns)
    elif reference is not None:
        cells = {row["label"]: row["cells"] for row in layout["rows"]}
        for row, other in ((row, reference[row]) for row in labels if row in reference):
            same = {column for column, paths in cells[row].items() if paths == cells[other].get(column)}
            yield from ((PAIR, row, other, column) for column in columns if column not in same)


def difference(comparisons: Comparisons, named: Mapping[str, str]) -> dict[str, Any]:
    """Return difference, interval, p, n and seeds of two cells; only the difference if one has no scores."""
    found = comparisons.of(*(named[key] for key in ("table", "column", "row", "other")))
    if found is None:
        first, second = (comparisons.rows[named[key]][named["column"]].cell for key in ("row", "other"))
        return {"difference": first.measured - second.measured, "seeds": ""}
    measured = {key: getattr(found, key) for key in ("difference", "low", "high", "p", "n")}
    return measured | {"seeds": " ".join(map(str, found.seeds))}
