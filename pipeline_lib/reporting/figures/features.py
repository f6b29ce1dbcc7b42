"""Difference between clean and adversarial features after each stage of a network (Halftone's figure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.entries.facts import NO_STAGES, stages_of_entry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TITLES = {"mean_square_difference": "Mean square difference", "relative": "Relative to clean mean square"}


def draw_features(curves: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Return the absolute and relative difference of features after each stage; networks may have fewer stages.

    curves: (label, table with columns stage, mean_square_difference and relative).
    """
    from pipeline_lib.reporting.style import finish_panel, line_styles, new_figure

    stages = max((list(curve["stage"]) for _, curve in curves), key=len)
    figure = new_figure(8.4, max(2.9, 0.2 * len(curves) + 0.6))
    panels = figure.subplots(1, 2)
    for (label, curve), line in zip(curves, line_styles(), strict=False):
        places = [stages.index(stage) for stage in curve["stage"]]
        for panel, column in zip(panels, TITLES, strict=True):
            panel.plot(places, curve[column], label=label if panel is panels[0] else None, **line)
    for panel, title in zip(panels, TITLES.values(), strict=True):
        finish_panel(panel, title, "features after")
        panel.set_xticks(range(len(stages)), stages)
    figure.legend(loc="outside right upper")
    return figure


@dataclass(frozen=True, kw_only=True)
class Features:
    """One white-box attack on several models. `rows`: label -> target, of which the first seed is shown.

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
            f"Mean square difference between the features of clean and of adversarial clips ({self.attack}, made on "
            "each model itself) after each stage; on the right relative to the mean square of the clean features. "
            "A network's random numbers are the same for a clean clip and its adversarial one."
        )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        """The features of each row; each belongs to one set."""
        plan.at_least(1, "rows", self.rows)
        plan.attack("attack", self.attack)
        first = plan.first_cells(self.rows, self.attack)
        for label, cell in first.items():
            if stages_of_entry(plan.model(cell.target)["network"]) == []:
                raise plan.fail(f"rows.{label}", NO_STAGES)
        return {label: cell.features for label, cell in first.items()}

    def draw(self, files: Mapping[str, Any]) -> Figure:
        import pandas as pd

        return draw_features([(label, pd.read_csv(path)) for label, path in files.items()])
