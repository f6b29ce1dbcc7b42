"""Marks for numbers that do not measure robustness according to an audit."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline_lib.reporting.audits import FAULTS, read_audit, verdict
from pipeline_lib.reporting.formats import DAGGER


def with_faults(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column `faults`: verdicts (`FAULTS`) on the white-box sets of a number, as text.

    A row's summaries have the faults of all its columns.
    """
    found = {row["label"]: faults_of(row) for row in layout["rows"]}
    summaries = {summary["column"] for summary in layout["summaries"]}

    def faults(row: str, column: str) -> str:
        here = found[row] if column in summaries else {column: found[row].get(column, [])}
        return ", ".join(sorted({fault for faults in here.values() for fault in faults}))

    return table.assign(faults=list(map(faults, table["row"], table["column"])))


def faults_of(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return column -> faults of its sets."""
    verdicts = {
        column: [verdict(read_audit(path)) for path in paths] for column, paths in row.get("audits", {}).items()
    }
    return {column: [one for one in found if one in FAULTS] for column, found in verdicts.items()}


def fault_note(table: pd.DataFrame) -> str:
    """Return the explanation of the dagger, empty if no number has one."""
    faults = sorted({*table["faults"]} - {""})
    return f"{DAGGER} Not a measure of robustness, see the table audit: {'; '.join(faults)}." if faults else ""
