"""Loss, accuracy and learning rate of trainings by epoch; one such figure per data set is made automatically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline_lib.configuration.figures import FigurePlan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TITLES = {"loss": "Training loss", "accuracy": "Training accuracy (%)", "learning_rate": "Learning rate"}


def draw_training(histories: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Return a figure of training loss, accuracy in percent and learning rate against epochs.

    histories: (label, table with columns epoch, loss, accuracy in percent and learning_rate).
    """
    from matplotlib.ticker import MaxNLocator

    from pipeline_lib.reporting.style import finish_panel, line_styles, new_figure

    # Models without epochs have no curve; an empty one would break the figure's layout.
    histories = [(label, history) for label, history in histories if len(history)]
    figure = new_figure(10.5, 0.2 * max(len(histories), 14) + 0.3)
    panels = figure.subplots(1, 3)
    for (label, history), line in zip(histories, line_styles(), strict=False):
        for panel, column in zip(panels, TITLES, strict=True):
            panel.plot(history["epoch"], history[column], label=label if column == "loss" else None, **line)
    for panel, title in zip(panels, TITLES.values(), strict=True):
        finish_panel(panel, title, "epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_ylim(0, 100)
    figure.legend(loc="outside right upper")
    return figure


@dataclass(frozen=True, kw_only=True)
class TrainingCurves:
    """Training curves of models, each named with its seed, such as `at_pgd-s0`.

    dataset: name of the data set.
    models: names with their seeds.
    """

    dataset: str
    models: list[str]

    caption: ClassVar[str] = (
        "Loss and accuracy on the training inputs (adversarial ones where a defense trains on them) by epoch."
    )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        plan.at_least(1, "models", self.models)
        return {model: plan.history(f"models[{i}]", model) for i, model in enumerate(self.models)}

    def draw(self, files: Mapping[str, Any]) -> Figure:
        import pandas as pd

        return draw_training([(model, pd.read_csv(path)) for model, path in files.items()])
