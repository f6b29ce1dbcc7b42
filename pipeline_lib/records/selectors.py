"""Whether a selection module learned to tell the types of its inputs apart, by the history of its training."""

from collections.abc import Mapping, Sequence
from typing import Any

# Figures that the objective of a defense with a selection module records: the mean loss of the types, and that of a
# module that cannot tell two types apart.
LOSS, GUESS = "selector_loss", "selector_guess"
# A loss at or above this fraction of a guess is a guess: modules that learned nothing were measured at 0.97 to 1.1 of
# it, modules that learned below 0.4.
GUESSING = 0.9


def guesses(epochs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the selection module of a model only guesses between two types; False for a model without one.

    epochs: the rows of a training history, as numbers or as text. The row is that of the epoch that became the model:
    the first of the largest `selection_accuracy`, or the last one.
    """
    if not epochs or GUESS not in epochs[0]:
        return False
    row = model_epoch(epochs)
    return float(row[LOSS]) > GUESSING * float(row[GUESS])


def model_epoch(epochs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of the epoch that became the model."""
    if "selection_accuracy" not in epochs[0]:
        return epochs[-1]
    return max(epochs, key=lambda row: float(row["selection_accuracy"]))
