"""Selecting the epoch that becomes the model: the last one, or the most accurate one on clips not trained on."""

from typing import NamedTuple

import numpy as np

from pipeline_lib.clips.loader import ClipSet
from pipeline_lib.clips.store import Clips


class Selection(NamedTuple):
    """The clips on which epochs are compared."""

    clips: ClipSet
    rows: np.ndarray


class Scored(NamedTuple):
    """Partial score of an epoch: `correct` of the `examples` made of the first `rows` clips."""

    rows: int = 0
    correct: float = 0.0
    examples: float = 0.0

    @property
    def accuracy(self) -> float:
        """Percent."""
        return 100 * self.correct / self.examples


def split_rows(clips: Clips, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and held-out rows (the last `fraction` of each class by name, at least one), both ascending.

    Deterministic. Videos of one scene are neighbors by name in UCF101 and HMDB51: they are in the same part, except at
    the boundary.
    """
    held: list[int] = []
    for label in np.unique(clips.labels):
        rows: list[int] = sorted(np.flatnonzero(clips.labels == label).tolist(), key=lambda row: clips.videos[row])
        held += rows[len(rows) - max(1, round(fraction * len(rows))) :]
    is_held = np.isin(np.arange(len(clips)), held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
