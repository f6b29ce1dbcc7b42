"""Marks for numbers that do not measure robustness according to an audit."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.reporting.audits import FAULTS, read_audit, verdict
from pipeline_lib.reporting.marks import DAGGER

Audits = Mapping[str, Mapping[str, Sequence[str]]]


def with_faults(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column `faults`: verdicts (`FAULTS`) on the white-box sets of a number, as text; and in a
    table with worst cases with `worst_faults`, those on their sets.

    A row's summaries have the faults of all its columns.
    """
    own = {row["label"]: row.get("audits", {}) for row in layout["rows"]}
    table = table.assign(faults=faults(table, own, layout))
    if "worst" not in table:
        return table
    worst = {
        row["label"]: {name: each["audits"] for name, each in row.get("worst", {}).items()} for row in layout["rows"]
    }
    return table.assign(worst_faults=faults(table, worst, layout))


def faults(table: pd.DataFrame, audits: Audits, layout: Mapping[str, Any]) -> list[str]:
    """Return the faults of each number. audits: row -> column -> paths."""
    found = {label: faults_of(columns) for label, columns in audits.items()}
    summaries = {summary["column"] for summary in layout["summaries"]}

    def of_number(row: str, column: str) -> str:
        here = found[row] if column in summaries else {column: found[row].get(column, [])}
        return ", ".join(sorted({fault for faults in here.values() for fault in faults}))

    return list(map(of_number, table["row"], table["column"]))


def faults_of(audits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return column -> faults of its sets."""
    verdicts = {column: [verdict(read_audit(path)) for path in paths] for column, paths in audits.items()}
    return {column: [one for one in found if one in FAULTS] for column, found in verdicts.items()}


def fault_note(table: pd.DataFrame) -> str:
    """Return the explanation of the dagger, empty if no number has one."""
    faults = sorted({*table["faults"], *table.get("worst_faults", ())} - {""})
    return f"{DAGGER} Not a measure of robustness, see the table audit: {'; '.join(faults)}." if faults else ""
