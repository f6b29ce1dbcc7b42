"""Difference of clean and adversarial features along a network (Halftone's figure)."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline_lib.reporting.figures import finish_panel
from pipeline_lib.reporting.style import STYLE, line_styles, new_figure, save

TITLES = {"mean_square_difference": "Mean square difference", "relative": "Relative to clean mean square"}


def features_figure(curves: Sequence[tuple[str, pd.DataFrame]], out: Path) -> None:
    """Write `out`.png and `out`.pdf: the difference of features after each stage, as it is and relative.

    curves: (label, table with columns stage, mean_square_difference and relative).
    """
    with rc_context(STYLE):
        save(draw_features(curves), out)


def draw_features(curves: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Return the figure of `features_figure`; networks may have fewer stages than others."""
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
