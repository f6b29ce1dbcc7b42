"""Figures as PNG and PDF. The same numbers give the same bytes: no dates, no global state, the Agg renderer."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from pipeline_lib.reporting import formats
from pipeline_lib.reporting.difference import MAGNIFICATION, magnified_difference
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.style import INK, MUTED, PALETTE, STYLE, line_styles, new_figure, save
from pipeline_lib.reporting.tables import PARAMETERS, with_best

MEASURED = PALETTE[0]
PRINTED: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": "none", "markeredgecolor": PALETTE[1]}

Example = tuple[str, np.ndarray, np.ndarray]
"""Label (the attack, then for example the classes on further lines), clean and adversarial clip, (T, H, W, 3) uint8."""


def perturbation_figure(examples: Sequence[Example], out: Path) -> None:
    """Write `out`.png and `out`.pdf: per example the middle frame clean, adversarial, and 15 times their difference."""
    with rc_context(STYLE):
        save(draw_perturbations(examples), out)


def iterations_figure(curves: Sequence[tuple[str, pd.DataFrame]], n: int, out: Path) -> None:
    """Write `out`.png and `out`.pdf: accuracy, with its 95 % Wilson band for `n` clips, and loss against iterations.

    curves: (label, table with columns step, accuracy in percent and loss).
    """
    with rc_context(STYLE):
        save(draw_iterations(curves, n), out)


def training_figure(histories: Sequence[tuple[str, pd.DataFrame]], out: Path) -> None:
    """Write `out`.png and `out`.pdf: training loss, accuracy in percent and learning rate against epochs.

    histories: (label, table with columns epoch, loss, accuracy in percent and learning_rate).
    """
    with rc_context(STYLE):
        save(draw_training(histories), out)


def table_figure(table: pd.DataFrame, out: Path, title: str = "", note: str = "") -> None:
    """Write `out`.png and `out`.pdf: a table in long form, measured with its intervals beside the printed values.

    table: as `tables.build_table` returns it, or `tables.with_faults`, which marks numbers. title: the table's name if
        empty. note: one line at the bottom.
    """
    with rc_context(STYLE):
        save(draw_table(table, title, note), out)


def draw_perturbations(examples: Sequence[Example]) -> Figure:
    """Return the figure of `perturbation_figure`."""
    figure = new_figure(7.6, 1.9 * len(examples) + 0.4)
    axes = figure.subplots(len(examples), 3, squeeze=False)
    for heading, panel in zip(("clean", "adversarial", f"difference \u00d7 {MAGNIFICATION}"), axes[0], strict=True):
        panel.set_title(heading, loc="center")
    for panels, (label, clean, adversarial) in zip(axes, examples, strict=True):
        middle = len(clean) // 2
        frames = clean[middle], adversarial[middle]
        for panel, image in zip(panels, (*frames, magnified_difference(*frames)), strict=True):
            show_frame(panel, image)
        panels[2].set_xlabel(change_in_words(*frames), fontsize=7, color=MUTED, labelpad=2)
        attack, _, classes = label.replace(" \u2192 ", " \u2192\n").partition("\n")
        place: dict[str, Any] = {"xy": (-0.08, 0.5), "xycoords": "axes fraction", "textcoords": "offset points"}
        panels[0].annotate(attack, xytext=(0, 1), ha="right", va="bottom", weight="bold", **place)
        panels[0].annotate(classes, xytext=(0, -2), ha="right", va="top", fontsize=8, color=MUTED, **place)
    return figure


def show_frame(panel: Axes, image: np.ndarray) -> None:
    panel.imshow(image, interpolation="nearest")
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)


def change_in_words(clean: np.ndarray, adversarial: np.ndarray) -> str:
    change = np.abs(adversarial.astype(int) - clean.astype(int))
    return f"at most {change.max()}/255, {100 * np.mean(change.max(axis=-1) > 0):.0f} % of the pixels"


def draw_iterations(curves: Sequence[tuple[str, pd.DataFrame]], n: int) -> Figure:
    """Return the figure of `iterations_figure`."""
    figure = new_figure(8.4, 3.4)
    accuracy, loss = figure.subplots(1, 2, width_ratios=(1.6, 1))
    for (label, curve), line in zip(curves, line_styles(), strict=False):
        low, high = np.array([wilson(percent, n) for percent in curve["accuracy"]]).T
        accuracy.fill_between(curve["step"], low, high, color=line["color"], alpha=0.12, linewidth=0)
        accuracy.plot(curve["step"], curve["accuracy"], label=label, **line)
        loss.plot(curve["step"], curve["loss"], **line)
    iterations = sorted({int(step) for _, curve in curves for step in curve["step"]})
    for panel, title in ((accuracy, "Accuracy (%)"), (loss, "Loss")):
        finish_panel(panel, title, "attack iterations")
        scale_iterations(panel, iterations)
    accuracy.set_ylim(0, 100)
    figure.legend(loc="outside right upper", title=f"shaded: 95 % interval\nfor n = {n} clips", alignment="left")
    return figure


def finish_panel(panel: Axes, title: str, below: str) -> None:
    panel.set_title(title)
    panel.set_xlabel(below)
    panel.set_ylim(bottom=min(0, panel.dataLim.y0))
    panel.set_axisbelow(True)
    panel.grid(axis="y")
    panel.tick_params(length=0)


def scale_iterations(panel: Axes, iterations: Sequence[int]) -> None:
    """Give the first iterations room, where most happens: a square-root axis, with ticks that do not collide."""
    panel.set_xscale("function", functions=(lambda step: np.sqrt(np.maximum(step, 0)), np.square))
    room = 0.06 * np.sqrt(iterations[-1] or 1)
    ticks: list[int] = []
    for step in reversed(iterations):
        if not ticks or np.sqrt(ticks[-1]) - np.sqrt(step) >= room:
            ticks.append(step)
    panel.set_xlim(iterations[0], max(iterations[-1], iterations[0] + 1))
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(ScalarFormatter())


def draw_training(histories: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Return the figure of `training_figure`."""
    # Weights that were taken over without an epoch have no curve; an empty one would cost the figure its layout.
    histories = [(label, history) for label, history in histories if len(history)]
    figure = new_figure(10.5, 0.2 * max(len(histories), 14) + 0.3)
    panels = figure.subplots(1, 3)
    titles = {"loss": "Training loss", "accuracy": "Training accuracy (%)", "learning_rate": "Learning rate"}
    for (label, history), line in zip(histories, line_styles(), strict=False):
        for panel, column in zip(panels, titles, strict=True):
            panel.plot(history["epoch"], history[column], label=label if column == "loss" else None, **line)
    for panel, title in zip(panels, titles.values(), strict=True):
        finish_panel(panel, title, "epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_ylim(0, 100)
    figure.legend(loc="outside right upper")
    return figure


def draw_table(table: pd.DataFrame, title: str = "", note: str = "") -> Figure:
    """Return the figure of `table_figure`: a panel per column, a line per row, 0 to 100 % on every axis."""
    table = table[table["column"] != PARAMETERS]
    rows, columns = list(table["row"].unique()), list(table["column"].unique())
    width = max(1.5 + 1.45 * len(columns), 6.5)
    heading = textwrap.fill(f"{title or table['table'].iloc[0]}: accuracy (%)", int(10 * width))
    figure = new_figure(width, 0.34 * len(rows) + 1.35 + 0.2 * heading.count("\n"))
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.15})[0]
    for record in with_best(table).to_dict("records"):
        panel, height = panels[columns.index(record["column"])], rows.index(record["row"])
        draw_cell(panel, height, record, "bold" if record["best"] else "normal")
    for panel, column in zip(panels, columns, strict=True):
        finish_column(panel, column, rows)
    figure.suptitle(heading, x=0.01, ha="left", weight="bold", size=11)
    kinds = table_legend()[: 2 if table["paper"].notna().any() else 1]
    figure.legend(
        handles=kinds,
        loc="outside lower left",
        ncols=2,
        title=textwrap.fill(note, int(13 * width)) or None,
        alignment="left",
    )
    return figure


def draw_cell(panel: Axes, height: int, record: Mapping[Any, Any], weight: str) -> None:
    """Draw the measured value as a bar with its interval and its number, and the printed one as a diamond."""
    measured = record["measured"]
    panel.barh(height, measured, height=0.62, color=MEASURED, alpha=0.22)
    panel.plot([record["low"], record["high"]], [height, height], color=MEASURED, linewidth=1.4)
    panel.plot(measured, height, "o", color=MEASURED, markersize=4, clip_on=False)
    panel.plot(record["paper"], height, "D", **PRINTED, clip_on=False)
    number = formats.accuracy_text(record) or "\u2013"
    place: dict[str, Any] = {"xy": (1, height), "xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    panel.annotate(number, xytext=(27, 0), ha="right", va="center", size=8, weight=weight, **place)


def finish_column(panel: Axes, column: str, rows: Sequence[str]) -> None:
    panel.set_title(column)
    panel.set_xlim(0, 100)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xticks([0, 50, 100])
    panel.set_yticks(range(len(rows)), rows, color=INK)
    panel.tick_params(length=0)
    panel.tick_params(axis="x", labelsize=7)
    panel.spines["bottom"].set_visible(False)
    panel.set_axisbelow(True)
    panel.grid(axis="x")


def table_legend() -> list[Line2D]:
    measured = Line2D([], [], color=MEASURED, marker="o", markersize=4, label="measured, with its 95 % interval")
    return [measured, Line2D([], [], linestyle="", marker="D", **PRINTED, label="printed in the paper")]
