"""Accuracy against a swept value of an attack (MultiBN's figures of iterations, bounds and adaptive attacks)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.configuration.studies import written_row
from pipeline_lib.configuration.sweeps import Sweep, positions

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline_lib.reporting.curves_page import Panel

COLUMNS = ("panel", "key", "row", "value", "position", "measured", "low", "high", "n", "seeds")
PANEL = 1.7  # inches


def build_sweeps(panels: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table with a row per panel, row and value: `COLUMNS`, in percent with the 95 % interval.

    panels: label -> `key` (swept), `values` (as written), `positions` (on the axis) and `rows`: label -> `seeds` and
    `cells` (for each value the paths of the predictions, one per seed).
    """
    import pandas as pd

    from pipeline_lib.reporting.cells import require_same_number
    from pipeline_lib.reporting.metrics import accuracy, envelope
    from pipeline_lib.reporting.predictions import read_by_video

    records = []
    for label, panel in panels.items():
        for row, curve in panel["rows"].items():
            for value, position, paths in zip(panel["values"], panel["positions"], curve["cells"], strict=True):
                read = [read_by_video(path) for path in paths]
                require_same_number(f"sweep {label}, row {row}", read)
                cell = envelope([accuracy(one) for one in read])
                seeds = " ".join(map(str, curve["seeds"]))
                measured = (cell.measured, cell.low, cell.high, cell.n, seeds)
                records.append((label, panel["key"], row, value, position, *measured))
    return pd.DataFrame(records, columns=list(COLUMNS))


def draw_sweeps(table: pd.DataFrame, title: str = "", dataset: str = "") -> Figure:
    """Return a figure with a panel for each attack and a line for each row, with shaded 95 % intervals.

    dataset: for the heading.
    """
    from pipeline_lib.reporting.style import across, legend_columns, line_styles, new_figure, width, wrapped

    names, rows = list(table["panel"].unique()), list(table["row"].unique())
    side = across(len(names), PANEL)
    down = -(-len(names) // side)
    figure = new_figure(width(), 2.0 * down + 0.7)
    panels = figure.subplots(down, side, sharey=True, squeeze=False).flat
    styles = dict(zip(rows, line_styles(len(rows)), strict=True))
    for name, panel in zip(names, panels, strict=False):
        draw_panel(panel, table[table["panel"] == name], styles)
        panel.set_title(name)
    for unused in list(panels):
        unused.set_visible(False)
    figure.axes[0].set_ylim(0, 100)
    words = f"{title or 'Sweep'}: accuracy (%)" + (f" on {dataset}" if dataset else "")
    figure.suptitle(wrapped(words, width(), 10), x=0.01, ha="left", weight="bold", size=9)
    clips = " to ".join(map(str, sorted({table["n"].min(), table["n"].max()})))
    lines = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    figure.legend(
        handles=[lines[row] for row in rows],
        loc="outside lower left",
        ncols=legend_columns(rows),
        title=f"shaded: 95 % interval for n = {clips} clips",
        alignment="left",
    )
    return figure


def draw_panel(panel: Axes, table: pd.DataFrame, styles: Mapping[str, dict[str, Any]]) -> None:
    for row, curve in table.groupby("row", sort=False):
        curve, line = curve.sort_values("position"), styles[str(row)]
        panel.fill_between(curve["position"], curve["low"], curve["high"], color=line["color"], alpha=0.12, linewidth=0)
        panel.plot(curve["position"], curve["measured"], label=str(row), **line)
    ticks = table.drop_duplicates("position").sort_values("position")
    scale_values(panel, list(ticks["position"]), list(ticks["value"]))
    panel.set_xlabel(str(table["key"].iloc[0]).rpartition(".")[2].replace("_", " "))
    panel.set_axisbelow(True)
    panel.grid(axis="y")
    panel.tick_params(length=0)
    panel.tick_params(axis="x", pad=6)


def curve_panels(table: pd.DataFrame) -> Iterator[Panel]:
    """The panels of the page, with the values as they are on a linear axis."""
    from pipeline_lib.reporting.curves_page import Panel

    for name, panel in table.rename(columns={"position": "x", "measured": "y"}).groupby("panel", sort=False):
        curves = {str(row): curve.sort_values("x")[["x", "y"]] for row, curve in panel.groupby("row", sort=False)}
        below = str(panel["key"].iloc[0]).rpartition(".")[2].replace("_", " ")
        yield Panel(title=str(name), quantity="accuracy (%)", below=below, curves=curves, limits=(0.0, 100.0))


def scale_values(panel: Axes, values: Sequence[float], labels: Sequence[str]) -> None:
    """Set a square-root axis, which separates doubling values, with the labels (as written) that do not overlap."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    from pipeline_lib.reporting.style import square_root_axis

    square_root_axis(panel, values[0], values[-1])
    roots = [math.sqrt(max(value, 0)) for value in values]
    per_letter = 0.064 * (roots[-1] - roots[0])
    shown: list[int] = []
    for place in reversed(range(len(values))):
        room = per_letter * (len(labels[place]) + len(labels[shown[-1]]) + 1) / 2 if shown else 0
        if not shown or roots[shown[-1]] - roots[place] >= room:
            shown.append(place)
    panel.xaxis.set_major_locator(FixedLocator([values[place] for place in shown]))
    panel.xaxis.set_major_formatter(FixedFormatter([str(labels[place]) for place in shown]))
    panel.xaxis.set_minor_locator(NullLocator())


@dataclass(frozen=True, kw_only=True)
class SweepCurves:
    """Sweeps of attacks on several models. `panels`: label -> name of a sweep. `rows` and `source`: as in a study, with
    panels in place of columns.

    title: above the panels.
    dataset: name of the data set.
    panels: label -> name of a sweep.
    rows: label -> target.
    source: model of the sets, if not the target.
    """

    title: str
    dataset: str
    panels: dict[str, str]
    rows: dict[str, Any]
    source: str | None = None

    @property
    def caption(self) -> str:
        return (
            f"{self.title}: accuracy against the swept value, with 95 % intervals; each point is a separate "
            "adversarial set. Accuracy should fall as an attack becomes stronger: a rise beyond the interval "
            "suggests masked gradients, or too few iterations."
        )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        """By panel: the swept key, its values as written and their axis positions, and each row's predictions."""
        plan.at_least(1, "panels", self.panels)
        plan.at_least(1, "rows", self.rows)
        # Sorted by name.
        sweeps = {label: plan.sweep(f"panels.{label}", name) for label, name in sorted(self.panels.items())}
        panels = {label: _axis(sweep) | {"rows": {}} for label, sweep in sweeps.items()}
        for label, row in sorted(self.rows.items()):
            targets, given = written_row(f"{plan.where}.rows.{label}", row, sweeps, plan.entries)
            if "attack" in given:
                raise plan.fail(f"rows.{label}.attack", "the panels already name the attacks")
            source = given.get("source", self.source)
            for panel, target in targets.items():
                panels[panel]["rows"][label] = self._curve(plan, f"rows.{label}.{panel}", target, sweeps[panel], source)
        return panels

    def _curve(self, plan: FigurePlan, key: str, target: str, sweep: Sweep, source: str | None) -> dict[str, Any]:
        cells = [plan.cells(key, target, attack, source) for attack in sweep.values]
        return {
            "seeds": sorted({plan.model(cell.target)["seed"] for cell in cells[0]}),
            "cells": [[cell.predictions for cell in seeds] for seeds in cells],
        }

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """The accuracies in the figure, with four decimals."""
        return build_sweeps(files).round({"measured": 4, "low": 4, "high": 4})

    def page(self, files: Mapping[str, Any]) -> str:
        """The curves of all rows, to highlight one."""
        from pipeline_lib.reporting.curves_page import curves_page

        return curves_page(self.title, list(curve_panels(build_sweeps(files))))

    def draw(self, files: Mapping[str, Any]) -> Figure:
        return draw_sweeps(build_sweeps(files), self.title, self.dataset)


def _axis(sweep: Sweep) -> dict[str, Any]:
    values = list(sweep.values.values())
    return {"key": sweep.key, "values": list(map(str, values)), "positions": positions(values)}
