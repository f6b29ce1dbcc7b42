"""Worst cases beside the columns of a table: the same clips under the strongest attack of each column's bound."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline_lib.reporting.metrics import Cell, accuracy, correct_clips, over_seeds
from pipeline_lib.reporting.tables import WORST_COLUMNS, clips_in, read_seeds, summary_cell

Seeds = list[pd.DataFrame]


def with_worst_cases(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with `WORST_COLUMNS` if the layout has worst cases: percent with the 95 % interval, and the
    number of clips (mean over seeds) that are correct in the column and not in its worst case.

    layout: of `tables.build_table`, whose rows may have `worst`: column -> `cells` (paths of predictions, one per seed)
    and `audits`. A summary's worst case is that of its columns; those without one count as they are.
    """
    if not any(row.get("worst") for row in layout["rows"]):
        return table
    found = {(row["label"], column): values for row in layout["rows"] for column, values in of_row(layout, row).items()}
    records = [found.get(key, {}) for key in zip(table["row"], table["column"], strict=True)]
    return table.join(pd.DataFrame(records, columns=list(WORST_COLUMNS), index=table.index).astype(float))


def of_row(layout: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return column -> values of `WORST_COLUMNS` for the columns with a worst case and the summaries of them."""
    where = f"table {layout['name']}, row {row['label']}"
    own = {column: read_seeds(where, row, column) for column in layout["columns"] if row["cells"].get(column)}
    paths = {"seeds": row["seeds"], "cells": {column: each["cells"] for column, each in row.get("worst", {}).items()}}
    worst = {column: read_seeds(f"{where}, worst case", paths, column) for column in paths["cells"]}
    found = {}
    for column, seeds in worst.items():
        cell = over_seeds([accuracy(one) for one in seeds], clips_in(where, [*own[column], *seeds]))
        found[column] = as_values(cell) | {"more_fall": more_fall(own[column], seeds)}
    if worst and len(own) == len(layout["columns"]):
        for each in layout["summaries"]:
            found[each["column"]] = as_values(summary_cell(each["method"], own | worst))
    return found


def as_values(cell: Cell) -> dict[str, float]:
    return {"worst": cell.measured, "worst_low": cell.low, "worst_high": cell.high}


def more_fall(own: Seeds, worst: Seeds) -> float:
    """Return the mean over seeds of the number of clips that are correct in a column and not in its worst case."""
    pairs = [correct_clips({"own": one, "worst": other}) for one, other in zip(own, worst, strict=True)]
    return sum(int((pair["own"] & ~pair["worst"]).sum()) for pair in pairs) / len(pairs)
