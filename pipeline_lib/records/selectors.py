"""Whether a selection module or a generator learned more than to guess, by the history of its training."""

from collections.abc import Mapping, Sequence
from typing import Any

# Figures that the objective of a defense with a selection module records: the mean loss of the types, and that of a
# module that cannot distinguish two types.
LOSS, GUESS = "selector_loss", "selector_guess"
# Of a generator: its loss (bits per value of an image, or an error), and that of a guess.
GENERATOR_LOSS, GENERATOR_GUESS = "generator_loss", "generator_guess"
PARTS = {"selection module": (LOSS, GUESS), "generator": (GENERATOR_LOSS, GENERATOR_GUESS)}
# A loss at or above this fraction of a guess is a guess: modules that learned nothing were measured at 0.97 to 1.1 of
# it, modules that learned below 0.4.
GUESSING = 0.9


def guesses(epochs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the selection module of a model only guesses between two types, or a generator is no better than a guess;
    False for a model without either.

    epochs: the rows of a training history, as numbers or as text. The row is that of the epoch that became the model:
    the first of the largest `selection_accuracy`, or the last one.
    """
    return bool(guessing_part(epochs))


def guessing_part(epochs: Sequence[Mapping[str, Any]]) -> str:
    """Which of PARTS only guesses; empty if none does."""
    for part, (loss, guess) in PARTS.items():
        if epochs and guess in epochs[0]:
            row = model_epoch(epochs)
            if float(row[loss]) > GUESSING * float(row[guess]):
                return part
    return ""


def model_epoch(epochs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of the epoch that became the model."""
    if "selection_accuracy" not in epochs[0]:
        return epochs[-1]
    return max(epochs, key=lambda row: float(row["selection_accuracy"]))
