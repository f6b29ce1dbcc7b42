"""Marks for numbers of models whose selection module does not select."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.records.selectors import guesses
from pipeline_lib.reporting.marks import GUESS_MARK


def with_guesses(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column `guesses`: whether a number's selection module only guesses between two types.

    layout: its rows have `selectors`, column -> paths of training histories. A row's summaries are marked if any of its
    columns is.
    """
    found = {row["label"]: guessing_columns(row) for row in layout["rows"]}
    summaries = {summary["column"] for summary in layout["summaries"]}
    marks = [
        bool(found[row]) if column in summaries else column in found[row]
        for row, column in zip(table["row"], table["column"], strict=True)
    ]
    return table.assign(guesses=marks)


def guessing_columns(row: Mapping[str, Any]) -> set[str]:
    """Return the columns of a layout's row in which a selection module, of any seed, only guesses."""
    return {column for column, paths in row.get("selectors", {}).items() if any_guesses(paths)}


def any_guesses(histories: Iterable[Path | str]) -> bool:
    return any(guesses(list(csv.DictReader(Path(path).read_text().splitlines()))) for path in histories)


def guess_note(table: pd.DataFrame) -> str:
    """Return the explanation of the mark, empty if no number has one."""
    note = f"{GUESS_MARK} The selection module does not select: its loss in training is that of a guess."
    return note if table["guesses"].any() else ""
