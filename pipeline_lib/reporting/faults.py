"""Marks for numbers that do not measure robustness according to an audit."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.configuration.layout_keys import clips_of_each_video, worst_of
from pipeline_lib.reporting.audits import FAULTS, verdict_of
from pipeline_lib.reporting.marks import DAGGER

OF_SOURCE = "of the source"
Faults = dict[str, list[str]]
"""Column -> verdicts."""


def with_faults(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column `faults`: verdicts (`FAULTS`) on the sets of a number, as text; and in a table
    with worst cases with `worst_faults`, those on their sets. Verdicts on sets of another model end with `OF_SOURCE`.

    A row's summaries have the faults of all its columns.
    """
    clips = clips_of_each_video(layout)
    found = {row["label"]: faults_of_row(row, clips) for row in layout["rows"]}
    table = table.assign(faults=faults(table, found, layout))
    if "worst" not in table:
        return table
    worst = {
        row["label"]: faults_of({name: each["audits"] for name, each in worst_of(row).items()}, clips)
        for row in layout["rows"]
    }
    return table.assign(worst_faults=faults(table, worst, layout))


def faults(table: pd.DataFrame, found: Mapping[str, Faults], layout: Mapping[str, Any]) -> list[str]:
    """Return the faults of each number. found: those of each row."""
    summaries = {summary["column"] for summary in layout["summaries"]}

    def of_number(row: str, column: str) -> str:
        here = found[row] if column in summaries else {column: found[row].get(column, [])}
        return ", ".join(sorted({fault for faults in here.values() for fault in faults}))

    return list(map(of_number, table["row"], table["column"]))


def faults_of_row(row: Mapping[str, Any], clips_by_video: int) -> Faults:
    """Return column -> faults of the sets made on the row's own target, and of those made on a source."""
    own, sources = (faults_of(row.get(key, {}), clips_by_video) for key in ("audits", "source_audits"))
    return {
        column: [*own.get(column, []), *(f"{one} {OF_SOURCE}" for one in sources.get(column, []))]
        for column in {**own, **sources}
    }


def faults_of(audits: Mapping[str, Sequence[str]], clips_by_video: int) -> Faults:
    """Return column -> faults of its sets."""
    verdicts = {column: [verdict_of(path, clips_by_video) for path in paths] for column, paths in audits.items()}
    return {column: [one for one in found if one in FAULTS] for column, found in verdicts.items()}


def fault_note(table: pd.DataFrame) -> str:
    """Return the explanation of the dagger, empty if no number has one."""
    faults = sorted({*table["faults"], *table.get("worst_faults", ())} - {""})
    return f"{DAGGER} Not a measure of robustness, see the table audit: {'; '.join(faults)}." if faults else ""
