"""Marks for numbers of models whose selection module does not select, or whose generator has learned nothing."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.records.selectors import guessing_part
from pipeline_lib.reporting.marks import GUESS_MARK

NOTES = {
    "selection module": "The selection module does not select: its loss in training is that of a guess.",
    "generator": "The generator was not trained well enough: its loss is that of a guess.",
}


def with_guesses(table: pd.DataFrame, layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table with a column `guesses`: the part of a number's model that only guesses (of `NOTES`), or empty.

    layout: its rows have `selectors`, column -> paths of training histories. A row's summaries are marked if any of its
    columns is.
    """
    found = {row["label"]: guessing_columns(row) for row in layout["rows"]}
    summaries = {summary["column"] for summary in layout["summaries"]}
    marks = [
        next(iter(found[row].values()), "") if column in summaries else found[row].get(column, "")
        for row, column in zip(table["row"], table["column"], strict=True)
    ]
    return table.assign(guesses=marks)


def guessing_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a layout's row in which a part of a model, of any seed, only guesses, with that part."""
    found = {column: guessing(paths) for column, paths in row.get("selectors", {}).items()}
    return {column: part for column, part in found.items() if part}


def guessing(histories: Iterable[Path | str]) -> str:
    """Return the part that only guesses in the first of the trainings with one; empty if there is none."""
    parts = (guessing_part(list(csv.DictReader(Path(path).read_text().splitlines()))) for path in histories)
    return next(filter(None, parts), "")


def guess_note(table: pd.DataFrame) -> str:
    """Return the explanation of the mark, empty if no number has one."""
    found = [note for part, note in NOTES.items() if part in set(table["guesses"])]
    return f"{GUESS_MARK} {' '.join(found)}" if found else ""
