"""The interval of a mean of columns that are measured on the same clips."""

import math

import numpy as np
import pandas as pd

from pipeline_lib.reporting.clusters import effective_clips, per_video
from pipeline_lib.reporting.metrics import Estimate, wilson


def mean_of_columns(correct: pd.DataFrame) -> Estimate:
    """Return the mean accuracy of the columns, in percent, with its 95 % interval, and a score for each clip.

    correct: clips x columns, booleans. The limits combine the distances of the columns' Wilson limits by the
    correlations between columns over the clips, or over the videos where these have several (Zou and Donner, 2008). One
    column has its Wilson interval, and a mean of columns that agree on every clip that of one of them; without
    dependence it is narrower by the square root of their number. A column with the same value on every clip has no
    correlation: 1 is used, the widest.
    """
    percents = 100 * correct.mean().to_numpy()
    numbers = [effective_clips(column) for _, column in correct.items()]
    limits = np.array([wilson(percent, n) for percent, n in zip(percents, numbers, strict=True)])
    correlations = correlations_of(per_video(correct).to_numpy(dtype=float))
    mean = float(percents.mean())
    low, high = (
        math.sqrt(max(0.0, distance @ correlations @ distance)) / len(percents)
        for distance in (percents - limits[:, 0], limits[:, 1] - percents)
    )
    scores = correct.mean(axis=1)
    return Estimate(percent=mean, low=max(0.0, mean - low), high=min(100.0, mean + high), n=len(correct), scores=scores)


def correlations_of(values: np.ndarray) -> np.ndarray:
    """Return the correlations between the columns of `values`; 1 for those of a constant column."""
    centered = values - values.mean(axis=0)
    lengths = np.sqrt((centered**2).sum(axis=0))
    products = np.outer(lengths, lengths)
    found = np.divide(centered.T @ centered, products, out=np.ones_like(products), where=products > 0)
    np.fill_diagonal(found, 1.0)
    return found
