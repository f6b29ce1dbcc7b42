"""The rule of masking sheets: does a transform defense give robustness, or does it mask gradients?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline_lib.reporting.audits import MASKED, ZERO_GRADIENTS_ALLOWED, read_audit
from pipeline_lib.reporting.cells import require_same_number
from pipeline_lib.reporting.metrics import accuracy, envelope
from pipeline_lib.reporting.predictions import read_by_video

COLUMNS = ("part", "attack", "value", "measured", "low", "high", "n", "seeds", "zero_gradients")
NO_SIGN = "no sign of masking"
MASKED_WITHOUT = "masked but for {}"  # of the attack's forms BPDA and EOT, those that make it stronger
LEFT_BY_AN_UNBOUNDED_ATTACK = 1.0  # percent
# Parts with a single number, not several on a curve.
FORMS = ("clean", "without_bpda", "white_box", "eot", "transfer")
Row = Mapping[Any, Any]


def build_masking(layout: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the sheet with a row per part: `COLUMNS`; accuracies in percent with 95 % intervals, fractions in 0..1.

    layout: for each part its `part` (one of `FORMS`, `bound` or `steps`), `attack`, `value` (epsilon for a bound,
    number for steps), and the paths of `predictions` and of `audits` (none for clean), one per seed.
    """
    return pd.DataFrame([_measured(entry) for entry in layout], columns=list(COLUMNS))


def _measured(entry: Mapping[str, Any]) -> dict[str, Any]:
    read = [read_by_video(path) for path in entry["predictions"]]
    require_same_number(f"masking, {entry['part']}", read)
    cell = envelope([accuracy(one) for one in read])
    zero = max((read_audit(path)["zero_gradients"] for path in entry["audits"]), default=None)
    named = {key: entry[key] for key in ("part", "attack", "value")}
    return named | {key: getattr(cell, key) for key in COLUMNS[3:8]} | {"zero_gradients": zero}


def verdict(sheet: pd.DataFrame) -> str:
    """Return `MASKED` for a sign against the sheet's strongest attack, else `MASKED_WITHOUT` or `NO_SIGN`."""
    if any(signs_of_masking(sheet)):
        return MASKED
    forms = [sign.partition(" ")[0] for sign in signs_without_bpda_or_eot(sheet)]
    return MASKED_WITHOUT.format(" and ".join(forms)) if forms else NO_SIGN


def above(one: Row, other: Row) -> bool:
    """Whether an accuracy's interval is entirely above another's."""
    return one["low"] > other["high"]


def signs_of_masking(sheet: pd.DataFrame) -> Iterator[str]:
    """Yield in words why even the strongest attack of the sheet does not measure robustness."""
    single, attacks = _single(sheet), sheet[~sheet["part"].isin(["clean", "without_bpda", "transfer"])]
    white = min((single[part] for part in ("white_box", "eot") if part in single), key=lambda row: row["measured"])
    if "transfer" in single and above(white, single["transfer"]):
        yield f"transfer is stronger than white-box ({_both(single['transfer'], white)})"
    if (zero := attacks["zero_gradients"].max()) > ZERO_GRADIENTS_ALLOWED:
        yield f"{100 * zero:.1f} % of an attack's first gradients are zero"
    for part, words in (("bound", "a larger bound makes"), ("steps", "more steps make")):
        rows = sheet[sheet["part"] == part].to_dict("records")
        if pairs := [(one, other) for i, other in enumerate(rows) for one in rows[:i] if above(other, one)]:
            yield f"{words} the accuracy rise ({_both(*pairs[0])})"
        if part == "bound" and rows[-1]["low"] > LEFT_BY_AN_UNBOUNDED_ATTACK:
            yield f"{rows[-1]['measured']:.1f} % is left at the largest bound"


def signs_without_bpda_or_eot(sheet: pd.DataFrame) -> Iterator[str]:
    """Yield in words why an attack without BPDA, or without EOT, does not measure robustness."""
    single = _single(sheet)
    if "without_bpda" in single and above(single["without_bpda"], single["white_box"]):
        yield f"BPDA makes the attack stronger ({_both(single['without_bpda'], single['white_box'])})"
    if "eot" in single and above(single["white_box"], single["eot"]):
        yield f"EOT makes the attack stronger ({_both(single['white_box'], single['eot'])})"


def _single(sheet: pd.DataFrame) -> dict[str, Row]:
    return {row["part"]: row for row in sheet.to_dict("records") if row["part"] in FORMS}


def _both(one: Row, other: Row) -> str:
    return f"{one['measured']:.1f} against {other['measured']:.1f} %"


def masking_numbers(sheet: pd.DataFrame) -> pd.DataFrame:
    """Return the sheet, accuracies with four decimals, with its verdict in every row."""
    return sheet.round({"measured": 4, "low": 4, "high": 4}).assign(verdict=verdict(sheet))
