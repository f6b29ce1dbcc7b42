"""Which epoch becomes the model: the last one, or the one most accurate on clips that training does not see."""

from typing import NamedTuple

import numpy as np

from pipeline_lib.clips.loader import ClipSet
from pipeline_lib.clips.store import Clips


class Selection(NamedTuple):
    """The clips that epochs are compared on."""

    clips: ClipSet
    rows: np.ndarray


class Scored(NamedTuple):
    """How far an epoch is scored: the first `rows` clips, with `correct` of the `examples` made of them."""

    rows: int = 0
    correct: float = 0.0
    examples: float = 0.0

    @property
    def accuracy(self) -> float:
        """Percent."""
        return 100 * self.correct / self.examples


def split_rows(clips: Clips, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, both ascending: the last `fraction` of each class by name, at least one.

    Nothing is drawn. Videos of one scene are neighbors by name in UCF101 and HMDB51: they stay on one side, except at
    the edge.
    """
    held: list[int] = []
    for label in np.unique(clips.labels):
        rows: list[int] = sorted(np.flatnonzero(clips.labels == label).tolist(), key=lambda row: clips.videos[row])
        held += rows[len(rows) - max(1, round(fraction * len(rows))) :]
    is_held = np.isin(np.arange(len(clips)), held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
