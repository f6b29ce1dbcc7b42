"""What the jobs of a run asked for and used, by rule, from the files beside their logs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.jobs.costs import START_MINUTES

HEADS = (
    *("rule", "jobs", "hours", "largest memory, MB", "asked for, MB", "asked / used"),
    *("longest, minutes", "asked for, minutes"),
)


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
    memory = [between(jobs["asked_mb"], ",.0f"), between(jobs["asked_by_used"], ".2f")]
    limits = jobs["asked_minutes"].dropna()
    return [
        rule,
        *numbers,
        *memory,
        f"{jobs['seconds'].max() / 60:.3g}",
        between(limits, ",.0f") if len(limits) else "",
    ]


def time_asked(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many jobs that asked for time ended within the minutes that every job asks for, and what the others
    asked for over what they took; nothing if no job asked."""
    known = [(row["asked_minutes"], row["seconds"] / 60) for row in rows if row.get("asked_minutes")]
    ratios = pd.Series([asked / took for asked, took in known if took > START_MINUTES])
    if not known:
        return ""
    words = (
        f"Every job asks for {START_MINUTES} minutes to start and to save its state, in addition to what it computes: "
    )
    words += f"{len(known) - len(ratios):,} of {len(known):,} ended within these."
    return words if ratios.empty else f"{words} The others asked for {between(ratios, '.2f')} times what they took."


def between(values: pd.Series, form: str) -> str:
    """Return the smallest and the largest value, or one if both look the same."""
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (values.min(), values.max())))
