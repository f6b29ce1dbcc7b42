"""Whether two numbers are similar: two one-sided tests of the difference over the same clips against a margin."""

import math
from statistics import NormalDist

import numpy as np

from pipeline_lib.reporting.decisions import POWER_QUANTILE
from pipeline_lib.reporting.paired import LEVEL, with_two_discordant_clips


def similarity(differences: np.ndarray, margin: float) -> tuple[float, float]:
    """Return two p-values: that of the mean being within the margin, and that of it being beyond.

    differences: one per clip, in [-1, 1]; margin: in the same unit. The first is the larger one of two one-sided tests
    (Schuirmann, 1987), the second is one-sided. Both are normal, with the variance of Bonett and Price (2012).
    """
    values = with_two_discordant_clips(differences)
    mean, error = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    within = NormalDist().cdf((abs(mean) - margin) / error)
    return within, 1 - within


def clips_for_similarity(differences: np.ndarray, margin: float, level: float = LEVEL) -> int | None:
    """Return the number of clips that decides similarity with a power of 80 %, None for a mean at the margin."""
    return _clips(differences.mean(), float(differences.var()), margin, level)


def _clips(mean: float, variance: float, margin: float, level: float) -> int | None:
    distance = margin - abs(mean)
    if abs(distance) < 1e-9:
        return None
    quantiles = NormalDist().inv_cdf(1 - level) + POWER_QUANTILE
    return max(1, math.ceil(variance * (quantiles / distance) ** 2 - 1e-9))
