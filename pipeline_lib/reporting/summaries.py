"""Summaries of a table's columns, one function each; their names for studies are in `entries/methods.py`.

The argument is a table of booleans for one seed: whether a clip (rows, indexed by video) is classified correctly in
each column of the study, in its order. The result is an `Estimate`: a percentage with its interval, which `estimate`
computes from a number of clips.
"""

import pandas as pd

from pipeline_lib.reporting import metrics
from pipeline_lib.reporting.metrics import Estimate, estimate


def mean(correct: pd.DataFrame) -> Estimate:
    """Return the average of the columns' accuracies."""
    return estimate(metrics.mean([metrics.percentage(correct[column]) for column in correct]), len(correct))


def mean_of_attacks(correct: pd.DataFrame) -> Estimate:
    """Return the average of the accuracies of all columns except `clean`."""
    return mean(correct[[column for column in correct if column != "clean"]])


def union(correct: pd.DataFrame) -> Estimate:
    """Return the percentage of clips classified correctly in all columns (MultiBN: clean and every attack)."""
    return estimate(metrics.percentage(correct.all(axis=1)), len(correct))
