"""What an answer that ignores the input gets: a constant answer is perfectly robust, so that a table states it."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.reporting.marks import CONSTANT_MARK, ROW_MARK

NOT_ABOVE_CONSTANT = "not above a constant answer"
LEARNED_NOTHING = "model has learned nothing"


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Accuracies in percent of the best constant answer (the most frequent label) and of guessing, and the classes."""

    constant: float
    guess: float
    classes: int


def chance_of(labels: pd.Series) -> Chance:
    """Return what is reached without the input on clips of these labels; classes are those that occur."""
    fractions = labels.value_counts(normalize=True)
    return Chance(constant=100 * float(fractions.max()), guess=100 / len(fractions), classes=len(fractions))


def flags(cells: Mapping[str, Any], clean: Set[str], chance: Chance) -> dict[str, str]:
    """Return column -> flags of a row's cells (`metrics.Cell`), as text: empty for an interval above a constant answer.

    clean: the columns without an attack. If one is not above a constant answer, the row's model has learned nothing.
    """
    low = {column for column, cell in cells.items() if cell.low <= chance.constant}
    of_row = [LEARNED_NOTHING] if low & clean else []
    return {column: ", ".join([NOT_ABOVE_CONSTANT] * (column in low) + of_row) for column in cells}


def clean_columns(row: Mapping[str, Any]) -> set[str]:
    """Return the columns of a layout's row that are measured without an attack."""
    entries = row.get("entries", {})
    return {column for column, cells in entries.items() if all(cell["attack"] == CLEAN for cell in cells)}


def chance_note(table: pd.DataFrame) -> str:
    """Return what a caption states on chance, and the explanation of the marks that occur; empty without chance."""
    return " ".join(chance_notes(table))


def chance_notes(table: pd.DataFrame) -> list[str]:
    """Return the sentences of `chance_note`, one for each mark."""
    levels = table.dropna(subset=["constant"])
    if levels.empty:
        return []
    constant, guess = levels[["constant", "chance"]].iloc[0]
    notes = [f"On these clips a constant answer gets {constant:.1f} %, guessing {guess:.1f} %."]
    shown = [table[column] for column in ("flag", "worst_flag") if column in table]
    if pd.concat(shown).str.contains(NOT_ABOVE_CONSTANT).any():
        notes += [f"{CONSTANT_MARK} Not above a constant answer: the interval does not lie above {constant:.1f} %."]
    if table["flag"].str.contains(LEARNED_NOTHING).any():
        notes += [f"{ROW_MARK} The model has learned nothing: clean accuracy not above a constant answer."]
    return notes


def with_marked_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a mark behind the label of each row whose model has learned nothing."""
    found = set(table["row"][table["flag"].str.contains(LEARNED_NOTHING)])
    return table.assign(row=[f"{row} {ROW_MARK}" if row in found else row for row in table["row"]])
