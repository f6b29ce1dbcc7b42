"""Accuracy and loss of trainings by epoch, a panel for each model with its seeds; one such figure per data set is
automatic."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.records.model_names import entry_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline_lib.reporting.curves_page import Panel

PANEL = 1.4  # inches
LETTERS = 16  # of a model's name in one line: bold, above a panel
# Column of a history -> its label in the figure.
CURVES = {
    "accuracy": "training accuracy",
    "selection_accuracy": "validation accuracy",
    "loss": "training loss (right axis)",
}
# The same in the panels of the page.
QUANTITIES = {
    "accuracy": "training accuracy (%)",
    "selection_accuracy": "validation accuracy (%)",
    "loss": "training loss",
}
COLUMNS = ("model", "epoch", "loss", "accuracy", "selection_accuracy", "learning_rate")


def draw_training(histories: Sequence[tuple[str, pd.DataFrame]], dataset: str = "") -> Figure:
    """Return a figure with a panel for each label: accuracies in percent (left) and the training loss (right).

    histories: (label, table with columns epoch, loss, accuracy in percent, and if there are validation clips
    selection_accuracy in percent); of a label as many as there are seeds. dataset: named below the panels.
    """
    from pipeline_lib.reporting.style import across, legend_columns, new_figure, width

    # Models without epochs have no curve; an empty one would break the figure's layout.
    seeds: dict[str, list[pd.DataFrame]] = {}
    for label, history in histories:
        if len(history):
            seeds.setdefault(label, []).append(history)
    side = across(len(seeds), PANEL)
    down = max(1, -(-len(seeds) // side))
    figure = new_figure(width(), 1.25 * down + 0.6)
    panels = list(figure.subplots(down, side, squeeze=False).flat)
    drawn = [history for one in seeds.values() for history in one]
    most = max((history["loss"].max() for history in drawn), default=1.0)
    lines: dict[str, Any] = {}
    for place, (label, one) in enumerate(seeds.items()):
        losses = draw_model(panels[place], label, one, most, lines)
        losses.tick_params(labelright=(place + 1) % side == 0 or place + 1 == len(seeds))
    finish_panels(panels, len(seeds), side, epoch_limits([history["epoch"] for history in drawn]))
    figure.supxlabel(" ".join(filter(None, ("epoch", dataset and f"of training on {dataset}"))), size=8)
    figure.supylabel("accuracy (%)", size=8)
    if lines:
        figure.legend(lines.values(), lines.keys(), loc="outside upper left", ncols=legend_columns(lines))
    return figure


def draw_model(panel: Axes, label: str, seeds: Sequence[pd.DataFrame], most: float, lines: dict[str, Any]) -> Axes:
    """Draw the curves of a model's seeds, and return the axis of the loss, which ends at `most`. lines: label -> line,
    for the legend."""
    from pipeline_lib.reporting.style import MUTED, line_styles

    styles = list(line_styles(3))
    losses = panel.twinx()
    panel.set_zorder(1)
    panel.patch.set_visible(False)
    for (column, words), style in zip(CURVES.items(), (*styles[:2], styles[2] | {"color": MUTED}), strict=True):
        axis = losses if column == "loss" else panel
        for history in seeds:
            if column in history and history[column].notna().any():
                [lines[words]] = axis.plot(
                    history["epoch"], history[column], **style | {"markersize": 2, "linewidth": 1}
                )
    losses.set_ylim(0, 1.05 * most)
    losses.tick_params(length=0, labelcolor=MUTED, labelsize=8)
    panel.set_title(in_lines(label), size=8)
    return losses


def in_lines(label: str) -> str:
    """Return a label in lines of `LETTERS`, which end after underscores and between words."""
    return textwrap.fill(label.replace("_", "_ "), LETTERS).replace("_ ", "_")


def epoch_limits(epochs: Sequence[pd.Series]) -> tuple[float, float]:
    """Return the limits of the axis of epochs, with a margin."""
    first, last = (float(find(map(find, epochs), default=1)) for find in (min, max))
    margin = 0.05 * (last - first) or 0.5
    return first - margin, last + margin


def finish_panels(panels: Sequence[Axes], used: int, side: int, epochs: tuple[float, float]) -> None:
    """Set the axes of the used panels, and hide the others.

    matplotlib's shared axes would do the same, but look at all other panels for each of their ticks: 39 instead of
    11 seconds for 100 panels.
    """
    from matplotlib.ticker import MaxNLocator

    for place, panel in enumerate(panels):
        panel.set_visible(place < used)
        panel.set_xlim(*epochs)
        panel.set_ylim(0, 100)
        panel.set_yticks([0, 50, 100])
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        panel.grid(axis="y")
        panel.tick_params(length=0, labelbottom=place + side >= used, labelleft=place % side == 0)


@dataclass(frozen=True, kw_only=True)
class TrainingCurves:
    """Training curves of models, each named with its seed, such as `at_pgd-s0`.

    dataset: name of the data set.
    models: names with their seeds.
    """

    dataset: str
    models: list[str]

    caption: ClassVar[str] = (
        "Accuracy (left axis, percent) and loss (right axis, gray) on the training inputs (adversarial ones where a "
        "defense trains on them) by epoch, and accuracy on validation clips where there are any; a line for each seed. "
        "The numbers, with the learning rate, are in the CSV file of the same name. The page has all models in one "
        "panel, one of them highlighted."
    )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        plan.at_least(1, "models", self.models)
        return {model: plan.history(f"models[{i}]", model) for i, model in enumerate(self.models)}

    def draw(self, files: Mapping[str, Any]) -> Figure:
        import pandas as pd

        named = [(entry_of(model), pd.read_csv(path)) for model, path in files.items()]
        return draw_training(named, self.dataset)

    def page(self, files: Mapping[str, Any]) -> str:
        """The curves of all models in a panel for each quantity, to highlight one."""
        from pipeline_lib.reporting.curves_page import curves_page

        return curves_page(f"Training on {self.dataset}", list(self._panels(self.numbers(files))))

    def _panels(self, table: pd.DataFrame) -> Iterator[Panel]:
        from pipeline_lib.reporting.curves_page import Panel

        for column, quantity in QUANTITIES.items():
            named = table.rename(columns={"epoch": "x", column: "y"})
            curves = {str(model): curve[["x", "y"]] for model, curve in named.groupby("model", sort=False)}
            limits = None if column == "loss" else (0.0, 100.0)
            yield Panel(quantity=quantity, below="epoch", curves=curves, limits=limits)

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """The curves of all models, `COLUMNS`."""
        import pandas as pd

        read = [pd.read_csv(path).assign(model=model) for model, path in files.items()]
        return pd.concat(read, ignore_index=True).reindex(columns=list(COLUMNS))
