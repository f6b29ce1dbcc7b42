"""What the jobs of a run asked for and used, by rule, from the files beside their logs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

HEADS = ("rule", "jobs", "hours", "largest memory, MB", "asked for, MB", "asked / used")


def by_rule(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row of text for each rule whose jobs asked for memory, columns HEADS, those with most hours first.

    rows: of `jobs.used.rows_of`.
    """
    known = pd.DataFrame([row for row in rows if row["asked_mb"] and row["asked_by_used"]])
    if known.empty:
        return pd.DataFrame(columns=list(HEADS))
    groups = sorted(known.groupby("rule"), key=lambda one: -one[1]["seconds"].sum())
    return pd.DataFrame([summary(str(rule), jobs) for rule, jobs in groups], columns=list(HEADS))


def summary(rule: str, jobs: pd.DataFrame) -> list[str]:
    """Return the row of a rule."""
    numbers = [f"{len(jobs):,}", f"{jobs['seconds'].sum() / 3600:.3g}", f"{jobs['peak_mb'].max():,.0f}"]
    return [rule, *numbers, between(jobs["asked_mb"], ",.0f"), between(jobs["asked_by_used"], ".2f")]


def between(values: pd.Series, form: str) -> str:
    """Return the smallest and the largest value, or one if both look the same."""
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (values.min(), values.max())))
