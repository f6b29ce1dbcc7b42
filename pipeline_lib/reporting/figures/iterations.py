"""Accuracy and loss of the live clips after each iteration of a long attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.entries.facts import innermost

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKED, MARKS_APART = 30, 0.04  # as many iterations have a marker each


def draw_iterations(
    curves: Sequence[tuple[str, pd.DataFrame]], n: int, attack: str = "", dataset: str = "", units: str = "clips"
) -> Figure:
    """Return accuracy, with its 95 % Wilson band for `n` independent units, and loss against iterations.

    curves: (label, table with columns step, accuracy in percent and loss). attack, dataset: for the axes.
    """
    import numpy as np

    from pipeline_lib.reporting.metrics import wilson
    from pipeline_lib.reporting.style import across, finish_panel, legend_columns, line_styles, new_figure, width

    side = across(2, 2.9)
    figure = new_figure(width(), 2.9 if side == 2 else 4.6)
    ratios: Any = {"width_ratios": (1.4, 1)} if side == 2 else {"height_ratios": (1.4, 1)}
    accuracy, loss = figure.subplots(2 // side, side, **ratios)
    for (label, curve), line in zip(curves, line_styles(len(curves)), strict=True):
        # Of many iterations markers at even distances, which would cover the line otherwise; a fraction of the panel.
        line |= {"markevery": MARKS_APART} if len(curve) > MARKED else {}
        low, high = np.array([wilson(percent, n) for percent in curve["accuracy"]]).T
        accuracy.fill_between(curve["step"], low, high, color=line["color"], alpha=0.12, linewidth=0)
        accuracy.plot(curve["step"], curve["accuracy"], label=label, **line)
        loss.plot(curve["step"], curve["loss"], **line)
    iterations = sorted({int(step) for _, curve in curves for step in curve["step"]})
    quantity = " ".join(filter(None, ("accuracy (%)", dataset and f"on {dataset}")))
    room = (0.46 * width(), 0.3 * width()) if side == 2 else (width() - 0.8,) * 2
    for panel, title, inches in ((accuracy, quantity, room[0]), (loss, "loss", room[1])):
        finish_panel(panel, title, " ".join(filter(None, ("iterations", attack and f"of {attack}"))))
        scale_iterations(panel, iterations, inches)
    accuracy.set_ylim(0, 100)
    columns: Any = {"alignment": "left", "ncols": legend_columns([label for label, _ in curves])}
    figure.legend(loc="outside upper left", title=f"shaded: 95 % interval for n = {n} {units}", **columns)
    return figure


def scale_iterations(panel: Axes, iterations: Sequence[int], inches: float) -> None:
    """Set a square-root axis, which enlarges the first iterations, with ticks that do not overlap on these inches."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    from pipeline_lib.reporting.style import square_root_axis

    room = (0.09 + 0.065 * len(str(iterations[-1]))) / inches * math.sqrt(iterations[-1] or 1)
    ticks: list[int] = []
    for step in reversed(iterations):
        if not ticks or math.sqrt(ticks[-1]) - math.sqrt(step) >= room:
            ticks.append(step)
    square_root_axis(panel, iterations[0], iterations[-1])
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(ScalarFormatter())


@dataclass(frozen=True, kw_only=True)
class Iterations:
    """One attack with many iterations on several models. `rows`: label -> target, of which the first seed is shown.

    dataset: name of the data set.
    attack: name of the attack.
    rows: label -> target, of which the first seed is shown.
    """

    dataset: str
    attack: str
    rows: dict[str, str]

    @property
    def caption(self) -> str:
        return (
            f"Accuracy after each iteration of one long attack ({self.attack}), with 95 % intervals. A curve that is "
            "still falling at its end means that the attack was stopped early; one that never falls hints at masked "
            "gradients."
        )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        """The trace of each row; each belongs to one set."""
        plan.at_least(1, "rows", self.rows)
        restarts = innermost(plan.attack("attack", self.attack)).get("restarts", 1)
        if isinstance(restarts, int) and restarts > 1:
            raise plan.fail("attack", f"attack {self.attack!r} has restarts: a trace would show all runs as one")
        first = plan.first_cells(self.rows, self.attack)
        found = {
            "audit": next(iter(first.values())).audit,
            "traces": {label: cell.trace for label, cell in first.items()},
        }
        # A trace has no clips, whose number is then the interval's only if they are independent.
        return found | ({"clips_by_video": clips} if (clips := plan.clips_by_video) > 1 else {})

    def page(self, files: Mapping[str, Any]) -> str:
        """The curves of all rows, to highlight one."""
        from pipeline_lib.reporting.curves_page import Panel, curves_page

        read, panels = self.numbers(files), []
        for column, quantity, limits in (("accuracy", "accuracy (%)", (0.0, 100.0)), ("loss", "loss", None)):
            named = read.rename(columns={"step": "x", column: "y"}).groupby("row", sort=False)
            curves = {str(row): curve[["x", "y"]] for row, curve in named}
            panels.append(Panel(quantity=quantity, below=f"iterations of {self.attack}", curves=curves, limits=limits))
        return curves_page(f"Iterations of {self.attack} on {self.dataset}", panels)

    def draw(self, files: Mapping[str, Any]) -> Figure:
        import pandas as pd

        curves = [(label, pd.read_csv(path)) for label, path in files["traces"].items()]
        clips, each = int(pd.read_csv(files["audit"])["clips"][0]), files.get("clips_by_video", 1)
        units = "clips" if each == 1 else "videos"
        return draw_iterations(curves, clips // each, self.attack, self.dataset, units)

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """The curves of all rows: row, step, accuracy in percent, loss."""
        import pandas as pd

        read = [pd.read_csv(path) for path in files["traces"].values()]
        return pd.concat(read, keys=files["traces"], names=["row"]).reset_index("row")
