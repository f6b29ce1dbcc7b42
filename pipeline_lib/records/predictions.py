"""Predictions: one row for each clip of a set."""

from typing import NamedTuple


class Prediction(NamedTuple):
    """A model's prediction for one clip.

    video: the clip's name. label, prediction: class indices. loss: cross-entropy to the label.
    selected: the branch with the largest weight of the selection module; empty for a network without one.
    """

    video: str
    label: int
    prediction: int
    loss: float
    selected: str = ""


# Columns that every file has.
REQUIRED = tuple(name for name in Prediction._fields if name not in Prediction._field_defaults)
