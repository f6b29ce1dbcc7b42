"""The chart of a table with more cells than bars can show: its numbers as colors."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

MOST_CELLS = 300  # of a chart with bars: more are higher than two pages
LETTERS = 24  # of a label
LABELS = 1.6  # inches: of the labels of rows, with margins
ROW, COLUMN, TALLEST = 0.13, 0.13, 10.0  # inches: of a label, and of all rows
COLORS = "cividis"  # its lightness rises with the number, also for color-blind readers and in print
NOTE = "Cells without a number are white. The table has the numbers, their intervals and marks."

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_map(cells: pd.DataFrame, heading: str, note: str, quantity: str) -> Figure:
    """Return a table in long form as a colored map of rows and columns, 0 to 100 %.

    cells: with `row`, `column` and `measured`, each pair once. Labels that do not fit are left out, evenly.
    """
    from pipeline_lib.reporting.style import new_figure, width, wrapped

    rows, columns = list(cells["row"].unique()), list(cells["column"].unique())
    numbers = cells.pivot(index="row", columns="column", values="measured").loc[rows, columns]
    height = min(ROW * max(len(rows), 8), TALLEST)
    heading, note = wrapped(heading, width(), 10), wrapped(f"{note} {NOTE}".strip(), width())
    figure = new_figure(width(), height + 2.2 + 0.13 * note.count("\n") + 0.2 * heading.count("\n"))
    panel = figure.subplots()
    image = panel.imshow(numbers, vmin=0, vmax=100, cmap=COLORS, aspect="auto", interpolation="nearest")
    label(panel.set_yticks, rows, int(height / ROW))
    label(panel.set_xticks, columns, int((width() - LABELS) / COLUMN), rotation=90)
    finish(panel)
    figure.colorbar(image, ax=panel, location="top", label=quantity, fraction=0.02, aspect=60)
    figure.suptitle(heading, x=0.01, ha="left", weight="bold", size=9)
    figure.supxlabel(note, x=0.01, ha="left", size=8)
    return figure


def label(set_ticks: Callable[..., Any], names: Sequence[str], fitting: int, **style: Any) -> None:
    """Set the labels of an axis: all of them, or every second, third, ... if only as many fit."""
    every = range(0, len(names), -(-len(names) // max(fitting, 1)))
    words = [textwrap.shorten(names[place].replace("_", " "), LETTERS, placeholder="...") for place in every]
    set_ticks(every, words, **style)


def finish(panel: Axes) -> None:
    """Remove the lines around a map."""
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
