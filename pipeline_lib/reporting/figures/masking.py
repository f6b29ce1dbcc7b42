"""Masking sheets: does a transform defense give robustness, or does it mask gradients? With a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.configuration.targets import trained
from pipeline_lib.entries.facts import declared, innermost

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {
    "clean": "clean",
    "without_bpda": "without BPDA",
    "white_box": "white-box",
    "eot": "with EOT",
    "transfer": "transfer",
}
BELOW = {"bound": "bound epsilon (of the range [0, 1])", "steps": "iterations"}


def draw_masking(sheet: pd.DataFrame, title: str, where: str = "") -> Figure:
    """Return a figure of the attack's forms, bounds and steps, and the verdict. where: attack and data set in words."""
    from pipeline_lib.reporting.masking import signs_of_masking, signs_without_bpda_or_eot, verdict
    from pipeline_lib.reporting.style import INK, across, new_figure, width, wrapped

    curves = [part for part in ("bound", "steps") if (sheet["part"] == part).any()]
    sizes = [3.2, *(max(2.7, 0.45 * (sheet["part"] == part).sum()) for part in curves)]
    one_line = across(len(sizes), 2.3) == len(sizes)
    figure = new_figure(width(), 2.8 if one_line else 1.6 * len(sizes) + 1)
    down, ratios = (1, {"width_ratios": sizes}) if one_line else (len(sizes), {"height_ratios": [1] * len(sizes)})
    panels = list(figure.subplots(down, len(sizes) // down, squeeze=False, **ratios).flat)
    draw_forms(panels[0], sheet[sheet["part"].isin(LABELS)])
    for panel, part in zip(panels[1:], curves, strict=True):
        draw_curve(panel, sheet[sheet["part"] == part], BELOW[part])
    heading = wrapped(f"{title}: accuracy (%) {where}".strip(), width(), 10)
    figure.suptitle(heading, x=0.01, ha="left", weight="bold", size=9)
    signs = "; ".join([*signs_of_masking(sheet), *signs_without_bpda_or_eot(sheet)])
    words = f"Verdict: {verdict(sheet)}" + (f". {signs[0].upper()}{signs[1:]}." if signs else ".")
    figure.supxlabel(wrapped(words, width()), x=0.01, ha="left", size=8, color=INK)
    return figure


def draw_forms(panel: Axes, rows: pd.DataFrame) -> None:
    """Draw the attack's forms as bars with intervals and numbers; those without BPDA and EOT in the second color."""
    from pipeline_lib.reporting.style import INK, MEASURED, PALETTE

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
    """Draw accuracy with its interval against the values, evenly spaced: bounds double, and the last one is far off."""
    from pipeline_lib.reporting.style import MEASURED, MUTED

    places = range(len(rows))
    panel.fill_between(places, rows["low"], rows["high"], color=MEASURED, alpha=0.12, linewidth=0)
    panel.plot(places, rows["measured"], color=MEASURED, marker="o", markersize=3.5, linewidth=1.5, clip_on=False)
    panel.set_xticks(places, [as_written(value) for value in rows["value"]], size=8, color=MUTED)
    panel.set_xlabel(below)
    panel.set_ylim(0, 100)
    panel.set_axisbelow(True)
    panel.grid(axis="y")
    panel.tick_params(length=0, pad=7)


def as_written(value: float) -> str:
    """A number of steps, or an epsilon, in gray levels if it is a multiple of them."""
    levels = 255 * value
    gray = value < 1 and abs(levels - round(levels)) < 1e-6
    return f"{levels:.0f}/255" if gray else f"{value:.4g}"


@dataclass(frozen=True, kw_only=True)
class Masking:
    """The sheet of one transform defense `target` under an attack in several forms (docs/configuration/figures.md).

    dataset: name of the data set.
    target: the model.
    attack: the attack.
    bounds: sweep of its bound.
    steps: sweep of its steps.
    title: above the sheet.
    without_bpda: the same model with a zero gradient of its transform.
    eot: the attack on averaged gradients.
    transfer: source of the sets of another model.
    """

    dataset: str
    target: str
    attack: str
    bounds: list[str]
    steps: list[str] | None = None
    title: str | None = None
    without_bpda: str | None = None
    eot: str | None = None
    transfer: str | None = None

    @property
    def heading(self) -> str:
        return self.title or self.target

    @property
    def caption(self) -> str:
        return (
            f"{self.heading}: robust, or masked gradients? Accuracy with its 95 % interval under one attack in several "
            'forms, and under growing bounds. "Above" means that one interval is entirely above the other. Verdict '
            '"masked gradient": against the strongest attack of the sheet (the lowest accuracy with BPDA, or EOT) '
            "transfer is stronger, the accuracy at the largest bound stays above 1 %, a larger bound or more steps "
            "increase the accuracy, or more than 1 % of an attack's first gradients are zero; then no number here "
            'measures robustness. Verdict "masked but for BPDA" (or EOT, or both): none of that, but the attack '
            "without it leaves a higher accuracy; then only the numbers with it measure robustness."
        )

    def needs(self, plan: FigurePlan) -> list[dict[str, Any]]:
        """The parts in order, each with its attack, a value (epsilon in `bounds`, iterations in `steps`), the
        predictions of each seed and the audits of their sets."""
        own = plan.targets("target", self.target)
        plan.attack("attack", self.attack)
        parts = [_part(plan, "clean", CLEAN, own), *self._plain(plan, own), _part(plan, "white_box", self.attack, own)]
        if self.eot is not None:
            if declared(plan.attack("eot", self.eot), "averages") is None:
                hint = "give it `method: expectation` and `samples`"
                raise plan.fail("eot", f"attack {self.eot!r} is not an expectation attack: {hint}")
            parts.append(_part(plan, "eot", self.eot, own))
        if self.transfer is not None:
            plan.targets("transfer", self.transfer)
            parts.append(_part(plan, "transfer", self.attack, own, self.transfer))
        plan.at_least(1, "bounds", self.bounds)
        parts += _curve(plan, "bounds", "bound", self.bounds, own)
        _check_unbounded(plan, self.bounds[-1])
        if self.steps is not None:
            plan.at_least(2, "steps", self.steps)
            parts += _curve(plan, "steps", "steps", self.steps, own)
        return parts

    def _plain(self, plan: FigurePlan, own: list[str]) -> list[dict[str, Any]]:
        """The same weights attacked without BPDA; an empty list for a transform with an exact gradient."""
        if self.without_bpda is None:
            return []
        plain, models = plan.targets("without_bpda", self.without_bpda), plan.entries["models"]
        if any(plan.model(one)["defense"].get("backward") != "none" for one in plain):
            words = "is attacked with BPDA too: give its defense `backward: none`"
            raise plan.fail("without_bpda", f"model {self.without_bpda!r} {words}")
        if [trained(one, models) for one in plain] != [trained(one, models) for one in own]:
            hint = f"give it `initial: {self.target}` and a training of 0 epochs"
            raise plan.fail(
                "without_bpda", f"model {self.without_bpda!r} has other weights than {self.target!r}: {hint}"
            )
        return [_part(plan, "without_bpda", self.attack, plain)]

    def numbers(self, files: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """The sheet, with its verdict in every row."""
        from pipeline_lib.reporting.masking import build_masking, masking_numbers

        return masking_numbers(build_masking(files))

    def draw(self, files: Sequence[Mapping[str, Any]]) -> Figure:
        from pipeline_lib.reporting.masking import build_masking

        return draw_masking(build_masking(files), self.heading, f"under {self.attack} on {self.dataset}")


def _part(plan: FigurePlan, part: str, attack: str, own: list[str], source: str | None = None) -> dict[str, Any]:
    """A part: predictions of the targets on clips of the attack made on each target itself, or on a source."""
    cells = [plan.cell(part, target, attack, source) for target in own]
    audits = [cell.audit for cell in cells if attack != CLEAN]
    predictions = [cell.predictions for cell in cells]
    return {"part": part, "attack": attack, "value": None, "predictions": predictions, "audits": audits}


def _curve(plan: FigurePlan, key: str, part: str, names: list[str], own: list[str]) -> list[dict[str, Any]]:
    """A part for each attack, with its value. Raises PipelineError unless the values increase."""
    parts: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        value = MEASURES[part](innermost(plan.attack(f"{key}[{i}]", name)))
        if value is None:
            raise plan.fail(f"{key}[{i}]", f"attack {name!r} has no value of its own: choose attacks of method ascent")
        if parts and value <= parts[-1]["value"]:
            words = f"attack {name!r} has {value:g} after {parts[-1]['value']:g}: list them in increasing order"
            raise plan.fail(f"{key}[{i}]", words)
        parts.append(_part(plan, part, name, own) | {"value": value})
    return parts


def _check_unbounded(plan: FigurePlan, name: str) -> None:
    """Raises PipelineError if the last attack cannot reach every clip in [0, 1], as the verdict requires."""
    attack = innermost(plan.attack("bounds", name))
    reach = attack["steps"] * attack["perturbation"].get("step_size", 0)
    if _epsilon(attack) != 1 or reach < 1 - 1e-6:
        words = f"attack {name!r}, the last one, is bounded: give it epsilon 1.0, and steps of 1 in total"
        raise plan.fail("bounds", words)


def _epsilon(attack: Mapping[str, Any]) -> float | None:
    perturbation = attack.get("perturbation")
    return perturbation.get("epsilon") if isinstance(perturbation, Mapping) else None


def _steps(attack: Mapping[str, Any]) -> float | None:
    return attack.get("steps")


MEASURES = {"bound": _epsilon, "steps": _steps}
