"""Predictions: one row for each clip of a set."""

from typing import NamedTuple


class Prediction(NamedTuple):
    """A model's answer to one clip.

    video: the clip's name. label, prediction: numbers of classes. loss: cross-entropy to the label.
    selected: the branch that a selection module weighs most; empty for a network without one.
    """

    video: str
    label: int
    prediction: int
    loss: float
    selected: str = ""


# What every reader may rely on.
REQUIRED = tuple(name for name in Prediction._fields if name not in Prediction._field_defaults)
