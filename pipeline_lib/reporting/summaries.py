"""Summaries of a table's columns, one function each; a study names them (`entries/methods.py` has the names).

A summary is given what the models of one seed classified correctly: a table of true and false with a row for each clip
(the index are the videos) and a column for each column of the study, in its order. It returns an `Estimate`: a
percentage with its interval, which `estimate` calculates from a number of clips.
"""

import pandas as pd

from pipeline_lib.reporting import metrics
from pipeline_lib.reporting.metrics import Estimate, estimate


def mean(correct: pd.DataFrame) -> Estimate:
    """Return the average of the columns' accuracies."""
    return estimate(metrics.mean([metrics.percentage(correct[column]) for column in correct]), len(correct))


def mean_of_attacks(correct: pd.DataFrame) -> Estimate:
    """Return the average of the accuracies of all columns but `clean`."""
    return mean(correct[[column for column in correct if column != "clean"]])


def union(correct: pd.DataFrame) -> Estimate:
    """Return the percentage of clips that are correct in all columns at once (MultiBN: clean and every attack)."""
    return estimate(metrics.percentage(correct.all(axis=1)), len(correct))
