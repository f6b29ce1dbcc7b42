"""Worst cases beside the columns of a table: the same clips under the strongest attack of each column's bound."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline_lib.configuration.layout_keys import clips_of_each_video
from pipeline_lib.reporting.best import unbeaten
from pipeline_lib.reporting.cells import Numbers
from pipeline_lib.reporting.chance import NOT_ABOVE_CONSTANT
from pipeline_lib.reporting.faults import with_faults
from pipeline_lib.reporting.marks import WEAK_MARK
from pipeline_lib.reporting.measured import Measured
from pipeline_lib.reporting.paired import LEVEL, compare

WORST_NUMBERS = ("worst", "worst_low", "worst_high", "more_fall", "fall", "fall_low", "fall_high")
WORST_COLUMNS = (*WORST_NUMBERS, "weak", "worst_flag", "worst_best")
NOTE = "Worst case (\u2192): the column's attack and, on clips that withstand it, stronger ones in the same bound."
WEAK_NOTE = (
    f"{WEAK_MARK} Weak attack: more clips fall in the worst case, or the mean of the columns is lower (exact paired "
    "test over {}, 5 %)."
)


def with_worst_cases(table: pd.DataFrame, layout: Mapping[str, Any], numbers: Numbers) -> pd.DataFrame:
    """Return the table with `WORST_COLUMNS` if its layout has worst cases.

    worst, worst_low, worst_high: percent with the 95 % interval. more_fall: number of clips that are correct in the
    column and not in its worst case (mean over seeds; missing for a mean of columns, and where a video has several
    clips, of which some may fall). fall, fall_low, fall_high: the
    fall of the number in points with its paired 95 % interval. weak: whether the exact paired test finds that it falls.
    worst_flag, worst_best: as `flag` and `best`, of the worst case.

    layout: of `tables.build_table`. numbers: measured from it (`cells.measure`).
    """
    if not numbers.worst:
        return table
    found = {
        (row, column): without_clips(
            values(numbers.rows[row][column], worst, layout["name"], column, row, "worst case"), layout
        )
        for row, cells in numbers.worst.items()
        for column, worst in cells.items()
        if column in numbers.rows[row]
    }
    records = [found.get(key, {}) for key in zip(table["row"], table["column"], strict=True)]
    beside = pd.DataFrame(records, columns=list(WORST_COLUMNS), index=table.index)
    beside = beside.astype(dict.fromkeys(WORST_NUMBERS, float)).fillna({"weak": False})
    low = beside["worst_low"] <= table["constant"]
    beside = beside.assign(worst_flag=low.map({True: NOT_ABOVE_CONSTANT, False: ""}), worst_best=False)
    return with_best(table.join(beside.astype({"weak": bool})), layout, numbers)


def values(own: Measured, worst: Measured, *names: str) -> dict[str, Any]:
    """Return the values of a worst case. Summaries without scores are not compared; of a mean of columns no clips are
    counted, its clips fall in some of the columns."""
    cell = worst.cell
    found = {"worst": cell.measured, "worst_low": cell.low, "worst_high": cell.high, "weak": False}
    pair = None if own.scores is None or worst.scores is None else compare(own.scores, worst.scores, *names)
    if pair is None:
        return found
    more = {"more_fall": float(pair.per_clip.sum())} if pair.whole_clips else {}
    found |= more | {"fall": pair.difference, "fall_low": pair.low}
    return found | {"fall_high": pair.high, "weak": pair.p < LEVEL and pair.difference > 0}


def without_clips(found: dict[str, Any], layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a worst case, without a number of clips where a video has several."""
    return found if clips_of_each_video(layout) == 1 else {key: one for key, one in found.items() if key != "more_fall"}


def with_best(table: pd.DataFrame, layout: Mapping[str, Any], numbers: Numbers) -> pd.DataFrame:
    """Return the table with `worst_best` of its sound worst cases."""
    may = table["worst"].notna() & (table["worst_flag"] == "")
    sound = may & (with_faults(table, layout)["worst_faults"] == "")
    return table.assign(worst_best=unbeaten(table.assign(measured=table["worst"]), sound, numbers.worst_comparisons))


def worst_note(table: pd.DataFrame, units: str) -> str:
    """Return a caption's sentences on worst cases and weak attacks, empty for a table without."""
    return " ".join(worst_notes(table, units))


def worst_notes(table: pd.DataFrame, units: str) -> list[str]:
    """Return the sentences of `worst_note`, one for each mark. units: what the paired tests count, clips or videos."""
    if "worst" not in table:
        return []
    return [NOTE, WEAK_NOTE.format(units)] if table["weak"].any() else [NOTE]
