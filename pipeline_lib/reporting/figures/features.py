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

TITLES = {"mean_square_difference": "mean square difference", "relative": "relative to clean mean square"}

LETTERS = 40  # of the names of stages that fit below a panel


def draw_features(curves: Sequence[tuple[str, pd.DataFrame]], below: str = "") -> Figure:
    """Return the absolute and relative difference of features after each stage; networks may have fewer stages.

    curves: (label, table with columns stage, mean_square_difference and relative). below: the attack and
    the data set, for the axes.
    """
    from pipeline_lib.reporting.style import across, finish_panel, legend_columns, line_styles, new_figure, width

    stages = max((list(curve["stage"]) for _, curve in curves), key=len)
    side, columns = across(2, 2.9), legend_columns([label for label, _ in curves])
    figure = new_figure(width(), 2.5 * 2 // side + 0.16 * -(-len(curves) // columns))
    panels = list(figure.subplots(2 // side, side).flat)
    for (label, curve), line in zip(curves, line_styles(len(curves)), strict=True):
        places = [stages.index(stage) for stage in curve["stage"]]
        for panel, column in zip(panels, TITLES, strict=True):
            panel.plot(places, curve[column], label=label if panel is panels[0] else None, **line)
    for panel, title in zip(panels, TITLES.values(), strict=True):
        finish_panel(panel, title, f"stage of the network {below}".strip())
        crowded = sum(map(len, stages)) > LETTERS
        panel.set_xticks(range(len(stages)), stages, rotation=90 if crowded else 0)
    figure.legend(loc="outside upper left", ncols=columns)
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

        curves = [(label, pd.read_csv(path)) for label, path in files.items()]
        return draw_features(curves, f"({self.attack}, {self.dataset})")

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """The curves of all rows: row, stage, mean_square_difference, relative."""
        import pandas as pd

        return pd.concat([pd.read_csv(path) for path in files.values()], keys=files, names=["row"]).reset_index("row")
