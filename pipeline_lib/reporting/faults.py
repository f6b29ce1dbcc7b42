"""Marks on numbers that an audit says are no measure of robustness."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline_lib.reporting.audits import FAULTS, read_audit, verdict
from pipeline_lib.reporting.formats import DAGGER


def with_faults(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column `faults`: the verdicts (`FAULTS`) on the white-box sets behind a number, as text.

    A row's summaries have those of all its columns.
    """
    found = {row["label"]: faults_of(row) for row in layout["rows"]}
    summaries = {summary["column"] for summary in layout["summaries"]}

    def faults(row: str, column: str) -> str:
        here = found[row] if column in summaries else {column: found[row].get(column, [])}
        return ", ".join(sorted({fault for faults in here.values() for fault in faults}))

    return table.assign(faults=list(map(faults, table["row"], table["column"])))


def faults_of(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return column -> what is wrong with the sets behind it."""
    verdicts = {
        column: [verdict(read_audit(path)) for path in paths] for column, paths in row.get("audits", {}).items()
    }
    return {column: [one for one in found if one in FAULTS] for column, found in verdicts.items()}


def fault_note(table: pd.DataFrame) -> str:
    """Return what the dagger means, if a number has one."""
    faults = sorted({*table["faults"]} - {""})
    return f"{DAGGER} No measure of robustness, see the table audit: {'; '.join(faults)}." if faults else ""
