"""Differences of features: one row for each stage of a network."""

from typing import NamedTuple


class StageDifference(NamedTuple):
    """How far adversarial clips are from their clean ones after one stage, means over the clips."""

    stage: str
    mean_square_difference: float
    clean_mean_square: float
    relative: float  # their ratio; NaN for features that are all zero
