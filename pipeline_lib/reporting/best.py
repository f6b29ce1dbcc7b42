"""Which rows of a table the best one does not beat."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline_lib.reporting.measured import Comparisons
from pipeline_lib.reporting.paired import LEVEL, holm


def best_rows(table: pd.DataFrame) -> dict[str, str]:
    """Return column -> row with the largest accuracy of a table in long form, the first of equal ones."""
    measured = table.dropna(subset=["measured"])
    largest = measured.groupby("column")["measured"].idxmax()
    return {str(column): table.loc[place, "row"] for column, place in largest.items()}


def unbeaten(table: pd.DataFrame, eligible: pd.Series, comparisons: Comparisons) -> pd.Series:
    """Return for each record of a table in long form whether it is eligible, and not below the best eligible one.

    The best is that of its column. Below: the paired test over clips, corrected by Holm for all records of the table,
    has p < 0.05. A summary without scores cannot be tested: only the best one and its equals by one decimal are
    unbeaten. The best is chosen on the same clips, so that equal rows are called below it a little more often than in
    5 % of tables.
    """
    leaders = table["column"].map(best_rows(table[eligible]))
    p = [
        p_against(comparisons, leader, record) for leader, record in zip(leaders, table.to_dict("records"), strict=True)
    ]
    corrected = pd.Series(holm(p), table.index)
    measured = table["measured"].where(eligible)
    highest = measured.groupby(table["column"]).transform("max").round(1)
    return eligible & ((measured.round(1) == highest) | (corrected >= LEVEL))


def p_against(comparisons: Comparisons, leader: str, record: Mapping[Any, Any]) -> float:
    """Return the p-value of a record against the best row of its column, NaN for the best itself or without scores."""
    row, column, rows = record["row"], record["column"], comparisons.rows
    if leader not in rows or row == leader or column not in rows[row]:
        return float("nan")
    found = comparisons.of(record["table"], column, row, leader)
    return float("nan") if found is None else found.p
