"""Summaries of a table's columns, one function each; their names for studies are in `entries/methods.py`.

The argument is a table of booleans for one seed: whether a clip (rows, indexed by video) is classified correctly in
each column of the study, in its order. The result is an `Estimate`: a percentage with its interval, and the clips'
scores by which rows are compared (without them, the table of differences has no interval and no p-value).
"""

import pandas as pd

from pipeline_lib.reporting.column_means import mean_of_columns
from pipeline_lib.reporting.metrics import Estimate, fraction_of_clips


def mean(correct: pd.DataFrame) -> Estimate:
    """Return the average of the columns' accuracies."""
    return mean_of_columns(correct)


def mean_of_attacks(correct: pd.DataFrame) -> Estimate:
    """Return the average of the accuracies of all columns except `clean`."""
    return mean_of_columns(correct[[column for column in correct if column != "clean"]])


def union(correct: pd.DataFrame) -> Estimate:
    """Return the percentage of clips classified correctly in all columns (MultiBN: clean and every attack)."""
    return fraction_of_clips(correct.all(axis=1))


def lowest(correct: pd.DataFrame) -> Estimate:
    """Return the lowest of the columns' accuracies: that of the column where most clips are wrong."""
    return fraction_of_clips(correct[correct.mean().idxmin()])
