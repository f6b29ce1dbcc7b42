"""Feature maps of one clip under an attack, after one stage of several models (MultAV's Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.entries.facts import NO_STAGES, stages_of_entry, unknown_stage
from pipeline_lib.errors import PipelineError
from pipeline_lib.records.feature_maps import FeatureMaps

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "stem"
# In inches: the largest picture, and the names at the left.
LARGEST, LABELS = 1.25, 1.2


class Picture(NamedTuple):
    """A map in the figure. scale: smallest and largest value of all maps that share its colors."""

    quantity: str
    values: np.ndarray
    scale: tuple[float, float]


class Line(NamedTuple):
    """A line of the figure: a frame (0 is the first) of a model's clip, and what the stage makes of it at its time."""

    label: str
    maps: FeatureMaps
    frame: int
    pictures: list[Picture]


def read_maps(path: str) -> FeatureMaps:
    """Return the maps of a file of `evaluation.feature_maps`."""
    import numpy as np

    with np.load(path) as arrays:
        return FeatureMaps(**{name: arrays[name] for name in FeatureMaps._fields})


def lines_of(label: str, maps: FeatureMaps, channels: Sequence[int], frames: int) -> list[Line]:
    """Return the lines of a model: `frames` times of its stage, evenly spaced, or all if it has fewer.

    The frame is that in the middle of a time. The mean over the channels has one scale, clean and under the attack,
    each channel its own, over these lines. Raises PipelineError for a channel that the stage does not have.
    """
    import numpy as np

    length, times = len(maps.frames[0]), maps.maps.shape[2]
    shown = np.unique(np.rint(np.linspace(0, times - 1, frames)).astype(int))
    columns = columns_of(maps.maps[:, :, shown], channels)
    return [
        Line(
            label,
            maps,
            int((time + 0.5) * length / times),
            [Picture(name, one[row], scale) for name, one, scale in columns],
        )
        for row, time in enumerate(shown)
    ]


def columns_of(maps: np.ndarray, channels: Sequence[int]) -> list[Picture]:
    """Return the means and the channels at all times, with their scales. maps: (2, channels, times, height, width)."""
    clean, attacked = maps
    if missing := [channel for channel in channels if channel >= len(attacked)]:
        raise PipelineError(f"channels: there is no {missing[0]}; this stage has {len(attacked)}, the first one is 0")
    both = scale_of(maps.mean(1))
    means = [Picture("mean, clean", clean.mean(0), both), Picture("mean, attacked", attacked.mean(0), both)]
    names = [f"channel {channel}, attacked" for channel in channels]
    singles = [attacked[channel] for channel in channels]
    return means + [Picture(name, one, scale_of(one)) for name, one in zip(names, singles, strict=True)]


def scale_of(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value."""
    return float(values.min()), float(values.max())


def draw_maps(lines: Sequence[Line], where: str) -> Figure:
    """Return a figure with a line for each model and frame: the attacked frame, then the maps. where: below it."""
    from pipeline_lib.reporting.style import new_figure, width, wrapped

    across = 1 + len(lines[0].pictures)
    side = min(LARGEST, (width() - LABELS) / across)
    figure = new_figure(width(), side * len(lines) + 0.7)
    panels = figure.subplots(len(lines), across, squeeze=False)
    headings = ["attacked frame", *(picture.quantity for picture in lines[0].pictures)]
    for panel, heading in zip(panels[0], headings, strict=True):
        panel.set_title(wrapped(heading, 0.9 * side), loc="center", size=8)
    named: set[str] = set()
    for row, line in zip(panels, lines, strict=True):
        draw_line(row, line)
        name_line(row[0], line, first=line.label not in named)
        named.add(line.label)
    figure.supxlabel(wrapped(where, width()), size=8)
    return figure


def draw_line(panels: Sequence[Axes], line: Line) -> None:
    """Draw the attacked frame, and each map dark to light over its scale."""
    from pipeline_lib.reporting.style import show_frame

    show_frame(panels[0], line.maps.frames[1][line.frame])
    for panel, (_, values, (low, high)) in zip(panels[1:], line.pictures, strict=True):
        show_frame(panel, values, vmin=low, vmax=high, cmap="viridis")


def name_line(panel: Axes, line: Line, first: bool) -> None:
    """Write the frame's number at its left, and in a model's first line its label and what it answers."""
    from pipeline_lib.reporting.style import MUTED

    place: dict[str, Any] = {"xy": (-0.08, 0.5), "xycoords": "axes fraction", "textcoords": "offset points"}
    right: dict[str, Any] = {"ha": "right", "fontsize": 8, "color": MUTED, **place}
    frame = f"frame {line.frame + 1}"
    if not first:
        panel.annotate(frame, xytext=(0, 0), va="center", **right)
        return
    answer = f"{line.maps.truth} \u2192\n{line.maps.answers[1]}"
    panel.annotate(line.label, xytext=(0, 10), ha="right", va="bottom", weight="bold", fontsize=8, **place)
    panel.annotate(f"{answer}\n{frame}", xytext=(0, 8), va="top", **right)


def numbers_of(line: Line) -> Iterator[dict[str, Any]]:
    """Yield smallest, mean and largest value of each map of a line."""
    for picture in line.pictures:
        low, high = scale_of(picture.values)
        known = {
            "row": line.label,
            "video": str(line.maps.video),
            "frame": line.frame + 1,
            "quantity": picture.quantity,
        }
        yield known | {"smallest": low, "mean": float(picture.values.mean()), "largest": high}


@dataclass(frozen=True, kw_only=True)
class MapsOfFeatures:
    """One test clip under a white-box attack on several models: what a stage of each makes of it.

    dataset: name of the data set.
    attack: name of the attack.
    rows: label -> target, of which the first seed is shown.
    stage: `layer1`, `layer2`, ..., or `stem`.
    channels: channels of the stage that are shown beside their mean.
    clip: number of the test clip; the first one is 0.
    frames: how many, evenly spaced; all times of the stage if it has fewer.
    """

    dataset: str
    attack: str
    rows: dict[str, str]
    stage: str
    channels: list[int] = field(default_factory=list)
    clip: int = 0
    frames: int = 3

    @property
    def caption(self) -> str:
        return (
            f"One test clip under {self.attack}, made on each model itself, and what {self.stage} of the model makes "
            "of it: the mean over its channels, of the clean clip and under the attack on one scale, and single "
            "channels under the attack, each from dark (smallest) to light over the frames of its model. The values "
            "are in the CSV file of the same name."
        )

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        """The maps of each row; each belongs to one set."""
        plan.at_least(1, "rows", self.rows)
        plan.attack("attack", self.attack)
        for key, value, least in (("clip", self.clip, 0), ("frames", self.frames, 1)):
            if value < least:
                raise plan.fail(key, f"{value} is below {least}")
        if wrong := [channel for channel in self.channels if channel < 0]:
            raise plan.fail("channels", f"{wrong[0]} is below 0, the first channel")
        first = plan.first_cells(self.rows, self.attack)
        for label, cell in first.items():
            self._check_stage(plan, label, stages_of_entry(plan.model(cell.target)["network"]))
        return {label: cell.feature_maps(self.stage, self.clip) for label, cell in first.items()}

    def _check_stage(self, plan: FigurePlan, label: str, stages: list[str] | None) -> None:
        """Raises PipelineError for a stage that a model is known not to have."""
        if stages == []:
            raise plan.fail(f"rows.{label}", NO_STAGES)
        if stages is not None and self.stage not in (STEM, *stages):
            raise plan.fail("stage", f"rows.{label}: {unknown_stage(self.stage, [STEM, *stages])}")

    def draw(self, files: Mapping[str, Any]) -> Figure:
        where = f"{self.stage} under {self.attack}, test clip {self.clip} of {self.dataset}"
        return draw_maps(self._lines(files), where)

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """Of each map in the figure: row, video, frame, quantity, smallest, mean and largest value."""
        import pandas as pd

        return pd.DataFrame([one for line in self._lines(files) for one in numbers_of(line)])

    def _lines(self, files: Mapping[str, Any]) -> list[Line]:
        read = {label: read_maps(path) for label, path in files.items()}
        return [line for label, maps in read.items() for line in lines_of(label, maps, self.channels, self.frames)]
