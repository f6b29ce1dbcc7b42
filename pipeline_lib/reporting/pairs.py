"""Differences of pairs of rows beside the numbers of a table, as MultAV prints those of Mult and Add."""

from typing import Any

import pandas as pd

from pipeline_lib.reporting.differences import OWN, PAIR

# Columns of a table of differences -> those beside a table's own.
BESIDE = {
    "other": "other",
    "difference": "minus",
    "low": "minus_low",
    "high": "minus_high",
    "p_holm": "minus_p",
    "faults": "minus_faults",
}
PAIR_NUMBERS = ("minus", "minus_low", "minus_high", "minus_p", "paper_minus")
PAIR_TEXTS = ("other", "minus_faults")
NOTE = (
    "In parentheses the difference, in points over the same clips and seeds, with its paired 95 % interval: {}. An "
    "asterisk: below 5 % (exact paired test over {}, Holm's correction for all differences in parentheses)."
)


def with_pairs(table: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `PAIR_NUMBERS` and `PAIR_TEXTS` if its layout pairs rows.

    differences: of `differences.build_differences` for the same layout. other: the row that is subtracted. minus,
    minus_low, minus_high: points with the paired 95 % interval; minus_p: after Holm's correction. paper_minus: the
    difference of the printed values. minus_faults: of either number, according to an audit. All are under the papers'
    attacks, none in the worst case.
    """
    found = differences[(differences["against"] == PAIR) & (differences["under"] == OWN)]
    if found.empty:
        return table
    beside = found.rename(columns=BESIDE)[["row", "column", *BESIDE.values()]]
    table = table.merge(beside, how="left", on=["row", "column"]).fillna(dict.fromkeys(PAIR_TEXTS, ""))
    printed: dict[Any, float] = table.set_index(["row", "column"])["paper"].to_dict()
    others = zip(table["other"], table["column"], strict=True)
    return table.assign(paper_minus=table["paper"] - [printed.get(key, float("nan")) for key in others])


def pair_notes(table: pd.DataFrame, units: str) -> list[str]:
    """Return the explanation of the differences in parentheses, nothing for a table without. units: as of
    `worst_cases.worst_notes`."""
    if "minus" not in table:
        return []
    shown = table[table["other"] != ""]
    pairs = dict.fromkeys(zip(shown["row"], shown["other"], strict=True))
    return [NOTE.format("; ".join(f"{row} \u2212 {other}" for row, other in pairs), units)]
