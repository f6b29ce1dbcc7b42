"""The history of a training: a row of figures for each epoch, as CSV."""

import csv
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.records.selectors import PARTS, guessing_part, model_epoch

# Of every history. After them come the figures of the defense's objective, `parameters` and `run`.
COLUMNS = ("epoch", "loss", "accuracy", "learning_rate", "selection_accuracy")

WARNINGS = {
    "selection module": (
        "the selection module does not select: its loss is %.3f, and a guess between two types has %.3f; "
        "increase selector_warm_up, give selector_initial, or choose a selector with a finer stem"
    ),
    "generator": (
        "the generator has learned nothing: its loss is %.3f, and that of a guess is %.3f; train it for more epochs or "
        "with another learning rate"
    ),
}


def write_history(model: dict[str, Any], output: Path) -> None:
    """One row for each epoch of a checkpoint: epoch, loss, accuracy (percent), learning_rate at its first step,
    selection_accuracy if epochs are selected, figures of the defense's objective, then `parameters` and the run's
    facts, the same in every row."""
    constants = {"parameters": model["parameters"], "run": _words(model["run"])}
    rows = [row | constants for row in model["epochs"]]
    # A model without epochs (another view of trained weights) has no rows, but a header.
    known = model["epochs"][0] if rows else dict.fromkeys(COLUMNS)
    first = [name for name in COLUMNS if name in known]
    names = [*first, *(name for name in known if name not in COLUMNS), *constants]
    with atomic_write(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def warn_of_guesses(epochs: list[dict[str, Any]]) -> None:
    """Warns if the selection module of a model with these epochs does not select, or a generator is a guess."""
    part = guessing_part(epochs)
    if part:
        row, (loss, guess) = model_epoch(epochs), PARTS[part]
        LOGGER.warning(WARNINGS[part], row[loss], row[guess])


def _words(facts: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items())
