"""Accuracy against a swept value of an attack (MultiBN's figures of iterations, bounds and adaptive attacks)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from pipeline_lib.reporting.metrics import accuracy, over_seeds, read_predictions
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.style import STYLE, line_styles, new_figure, save
from pipeline_lib.reporting.tables import clips_in

COLUMNS = ("panel", "key", "row", "value", "position", "measured", "low", "high", "n", "seeds")
PANELS_PER_LINE = 4


def build_sweeps(layout: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row per panel, row and value: `COLUMNS`, in percent with the 95 % interval.

    layout: `panels`, label -> `key` (what is swept), `values` (as written), `positions` (their numbers) and `rows`,
        label -> `seeds` and `cells`: for each value the paths of the predictions, one per seed.
    """
    records = []
    for label, panel in layout["panels"].items():
        for row, curve in panel["rows"].items():
            for value, position, paths in zip(panel["values"], panel["positions"], curve["cells"], strict=True):
                read = [read_predictions(path) for path in paths]
                cell = over_seeds([accuracy(one) for one in read], clips_in(f"sweep {label}, row {row}", read))
                seeds = " ".join(map(str, curve["seeds"]))
                measured = (cell.measured, cell.low, cell.high, cell.n, seeds)
                records.append((label, panel["key"], row, value, position, *measured))
    return pd.DataFrame(records, columns=list(COLUMNS))


def write_sweeps(table: pd.DataFrame, csv: Path) -> None:
    """Write the numbers that the figure shows, accuracies with four decimals."""
    publish(csv, table.round({"measured": 4, "low": 4, "high": 4}).to_csv(index=False, lineterminator="\n"))


def sweeps_figure(table: pd.DataFrame, out: Path, title: str = "") -> None:
    """Write `out`.png and `out`.pdf: a panel for each attack, a line for each row, shaded 95 % intervals."""
    with rc_context(STYLE):
        save(draw_sweeps(table, title), out)


def draw_sweeps(table: pd.DataFrame, title: str = "") -> Figure:
    """Return the figure of `sweeps_figure`."""
    names, rows = list(table["panel"].unique()), list(table["row"].unique())
    across = min(len(names), PANELS_PER_LINE)
    down = -(-len(names) // across)
    figure = new_figure(2.4 * across + 2.2, 2.6 * down + 0.5)
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
    styles = dict(zip(rows, line_styles(), strict=False))
    for name, panel in zip(names, panels, strict=False):
        draw_panel(panel, table[table["panel"] == name], styles)
        panel.set_title(name)
    for unused in list(panels):
        unused.set_visible(False)
    figure.axes[0].set_ylim(0, 100)
    figure.suptitle(f"{title or 'Sweep'}: accuracy (%)", x=0.01, ha="left", weight="bold", size=11)
    clips = " to ".join(map(str, sorted({table["n"].min(), table["n"].max()})))
    lines = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    figure.legend(
        handles=[lines[row] for row in rows],
        loc="outside right upper",
        title=f"shaded: 95 % interval\nfor n = {clips} clips",
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


def scale_values(panel: Axes, positions: Sequence[float], labels: Sequence[str]) -> None:
    """A square-root axis, on which values that double keep apart, with the labels (as written) that find room."""
    panel.set_xscale("function", functions=(lambda value: np.sqrt(np.maximum(value, 0)), np.square))
    low, high = positions[0], positions[-1]
    panel.set_xlim(low, high if high > low else low + 1)
    per_letter = 0.038 * (np.sqrt(high) - np.sqrt(low))
    shown: list[int] = []
    for place in reversed(range(len(positions))):
        room = per_letter * (len(labels[place]) + len(labels[shown[-1]]) + 1) / 2 if shown else 0
        if not shown or np.sqrt(positions[shown[-1]]) - np.sqrt(positions[place]) >= room:
            shown.append(place)
    panel.xaxis.set_major_locator(FixedLocator([positions[place] for place in shown]))
    panel.xaxis.set_major_formatter(FixedFormatter([str(labels[place]) for place in shown]))
    panel.xaxis.set_minor_locator(NullLocator())
