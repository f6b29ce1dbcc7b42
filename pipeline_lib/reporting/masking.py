"""Masking sheets: is the accuracy of a transform defense robustness, or are its gradients masked? With a verdict."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_lib.reporting.audits import MASKED, ZERO_GRADIENTS_ALLOWED, read_audit
from pipeline_lib.reporting.figures import MEASURED
from pipeline_lib.reporting.metrics import accuracy, over_seeds, read_predictions
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.style import INK, MUTED, PALETTE, STYLE, new_figure, save
from pipeline_lib.reporting.tables import clips_in

COLUMNS = ("part", "attack", "value", "measured", "low", "high", "n", "seeds", "zero_gradients")
NO_SIGN = "no sign of masking"
MASKED_PLAINLY = "masked but for BPDA and EOT"
LEFT_BY_AN_UNBOUNDED_ATTACK = 1.0  # percent
LABELS = {
    "clean": "clean",
    "without_bpda": "without BPDA",
    "white_box": "white-box",
    "eot": "with EOT",
    "transfer": "transfer",
}
Row = Mapping[Any, Any]


def build_masking(layout: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the sheet, a row per part: `COLUMNS`; accuracies in percent with their 95 % interval, fractions in 0..1.

    layout: for each part its `part` (a key of `LABELS`, `bound` or `steps`), `attack`, `value` (of a bound its
        epsilon, of steps their number), and the paths of `predictions` and of `audits` (none for clean), one per seed.
    """
    return pd.DataFrame([_measured(entry) for entry in layout], columns=list(COLUMNS))


def _measured(entry: Mapping[str, Any]) -> dict[str, Any]:
    read = [read_predictions(path) for path in entry["predictions"]]
    cell = over_seeds([accuracy(one) for one in read], clips_in(f"masking, {entry['part']}", read))
    zero = max((read_audit(path)["zero_gradients"] for path in entry["audits"]), default=None)
    named = {key: entry[key] for key in ("part", "attack", "value")}
    return named | {key: getattr(cell, key) for key in COLUMNS[3:8]} | {"zero_gradients": zero}


def verdict(sheet: pd.DataFrame) -> str:
    """Return `MASKED` for a sign against the sheet's strongest attack, else `MASKED_PLAINLY` or `NO_SIGN`."""
    if any(signs_of_masking(sheet)):
        return MASKED
    return MASKED_PLAINLY if any(signs_without_bpda_or_eot(sheet)) else NO_SIGN


def above(one: Row, other: Row) -> bool:
    """Whether an accuracy is higher beyond the intervals: they do not even touch."""
    return one["low"] > other["high"]


def signs_of_masking(sheet: pd.DataFrame) -> Iterator[str]:
    """Yield in words why even the strongest attack of the sheet is no measure of robustness."""
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
    """Yield in words why an attack without BPDA, or without EOT, is no measure of robustness."""
    single = _single(sheet)
    if "without_bpda" in single and above(single["without_bpda"], single["white_box"]):
        yield f"BPDA makes the attack stronger ({_both(single['without_bpda'], single['white_box'])})"
    if "eot" in single and above(single["white_box"], single["eot"]):
        yield f"EOT makes the attack stronger ({_both(single['white_box'], single['eot'])})"


def _single(sheet: pd.DataFrame) -> dict[str, Row]:
    return {row["part"]: row for row in sheet.to_dict("records") if row["part"] in LABELS}


def _both(one: Row, other: Row) -> str:
    return f"{one['measured']:.1f} against {other['measured']:.1f} %"


def write_masking(sheet: pd.DataFrame, csv: Path) -> None:
    """Write the sheet, its verdict in every row."""
    publish(
        csv,
        sheet.round({"measured": 4, "low": 4, "high": 4})
        .assign(verdict=verdict(sheet))
        .to_csv(index=False, lineterminator="\n"),
    )


def masking_figure(sheet: pd.DataFrame, out: Path, title: str) -> None:
    """Write `out`.png and `out`.pdf: the attack's forms, accuracy against bounds and steps, verdict and its signs."""
    with rc_context(STYLE):
        save(draw_masking(sheet, title), out)


def draw_masking(sheet: pd.DataFrame, title: str) -> Figure:
    """Return the figure of `masking_figure`."""
    curves = [part for part in ("bound", "steps") if (sheet["part"] == part).any()]
    widths = [3.2, *(max(2.7, 0.45 * (sheet["part"] == part).sum()) for part in curves)]
    figure = new_figure(sum(widths) + 0.2, 3.3)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    draw_forms(panels[0], sheet[sheet["part"].isin(LABELS)])
    for panel, part in zip(panels[1:], curves, strict=True):
        draw_curve(panel, sheet[sheet["part"] == part], {"bound": "epsilon", "steps": "steps"}[part])
    figure.suptitle(f"{title}: accuracy (%)", x=0.01, ha="left", weight="bold", size=11)
    signs = "; ".join([*signs_of_masking(sheet), *signs_without_bpda_or_eot(sheet)])
    words = f"Verdict: {verdict(sheet)}" + (f". {signs[0].upper()}{signs[1:]}." if signs else ".")
    figure.supxlabel(textwrap.fill(words, int(15 * figure.get_figwidth())), x=0.01, ha="left", size=9, color=INK)
    return figure


def draw_forms(panel: Axes, rows: pd.DataFrame) -> None:
    """The attack's forms as bars with their intervals and numbers; without BPDA and EOT in the second color."""
    labels = LABELS | ({"white_box": "with BPDA"} if (rows["part"] == "without_bpda").any() else {})
    for height, row in enumerate(rows.to_dict("records")):
        panel.barh(height, row["measured"], height=0.6, color=PALETTE[1] if row["part"] == "without_bpda" else MEASURED)
        panel.plot([row["low"], row["high"]], [height, height], color=INK, linewidth=1.2)
        panel.text(row["high"] + 2, height, f"{row['measured']:.1f}", va="center", size=8)
    panel.set_yticks(range(len(rows)), [labels[part] for part in rows["part"]], color=INK)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlim(0, 118)
    panel.set_xticks([0, 50, 100])
    panel.tick_params(length=0)


def draw_curve(panel: Axes, rows: pd.DataFrame, below: str) -> None:
    """Accuracy with its interval against the values, evenly spaced: bounds double, and the last one is far away."""
    places = range(len(rows))
    panel.fill_between(places, rows["low"], rows["high"], color=MEASURED, alpha=0.12, linewidth=0)
    panel.plot(places, rows["measured"], color=MEASURED, marker="o", markersize=3.5, linewidth=1.5, clip_on=False)
    panel.set_xticks(places, [as_written(value) for value in rows["value"]], size=7, color=MUTED)
    panel.set_xlabel(below)
    panel.set_ylim(0, 100)
    panel.set_axisbelow(True)
    panel.grid(axis="y")
    panel.tick_params(length=0, pad=7)


def as_written(value: float) -> str:
    """A number of steps, or an epsilon: in gray levels where it is some."""
    levels = 255 * value
    gray = value < 1 and abs(levels - round(levels)) < 1e-6
    return f"{levels:.0f}/255" if gray else f"{value:.4g}"
