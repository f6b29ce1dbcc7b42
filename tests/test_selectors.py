"""Selection modules that do not select: decided by the history, marked in tables, warned of in the log."""

import csv
from pathlib import Path

import pandas as pd
import pytest

import tiny
from pipeline_lib.records.selectors import guesses
from pipeline_lib.reporting.formats import accuracy_text
from pipeline_lib.reporting.selectors import guess_note, with_guesses
from test_updates import SELECTING
from training_runs import history, trained, with_training

GUESS = 0.462
LEARNED = [{"selector_loss": 1.1, "selector_guess": GUESS}, {"selector_loss": 0.1, "selector_guess": GUESS}]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


def scored(epochs: list[dict], *accuracies: float) -> list[dict]:
    return [row | {"selection_accuracy": score} for row, score in zip(epochs, accuracies, strict=True)]


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (LEARNED, False),
        (LEARNED[::-1], True),
        (scored(LEARNED, 50.0, 40.0), True),  # the first epoch is the model
        (scored(LEARNED, 9.0, 10.0), False),
        (scored(LEARNED, 50.0, 50.0), True),  # the first of equal ones
        ([{"selector_loss": 0.0, "selector_guess": 0.0}], False),  # a single type
        ([{"loss": 3.0, "accuracy": 1.0}], False),
        ([], False),
    ],
)
def test_the_epoch_that_became_the_model_decides(epochs, expected):
    assert guesses(epochs) is expected
    assert guesses([{name: str(value) for name, value in row.items()} for row in epochs]) is expected


def written(path: Path, epochs: list[dict]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, epochs[0])
        writer.writeheader()
        writer.writerows(epochs)
    return path


def test_numbers_that_a_guess_chose_are_marked_with_their_summaries(tmp_path):
    selects, guess = (
        written(tmp_path / name, epochs) for name, epochs in (("a.csv", LEARNED), ("b.csv", LEARNED[::-1]))
    )
    rows = [
        {"label": "AVG", "selectors": {"clean": [], "pgd": []}},
        {"label": "good", "selectors": {"clean": [selects], "pgd": [selects]}},
        {"label": "one seed", "selectors": {"clean": [selects, guess], "pgd": [selects]}},
    ]
    cells = [(row["label"], column) for row in rows for column in ("clean", "pgd", "mean")]
    table = pd.DataFrame([{"row": row, "column": column, "measured": 50.0} for row, column in cells])
    found = with_guesses(table, {"rows": rows, "summaries": [{"column": "mean"}]})
    assert [cell for cell, mark in zip(cells, found["guesses"], strict=True) if mark] == [
        ("one seed", "clean"),
        ("one seed", "mean"),
    ]
    texts = [accuracy_text(record) for record in found.to_dict("records")]
    assert texts == ["50.0"] * 6 + ["50.0‖", "50.0", "50.0‖"]
    assert guess_note(found).startswith("‖ The selection module does not select")
    assert guess_note(found[:6]) == ""


def test_the_history_has_the_figures_and_a_guess_is_logged(tmp_path, clips, caplog):
    """With a learning rate of 0 the module answers as it was drawn."""
    weights = trained(tmp_path, with_training(SELECTING, learning_rate=0.0), clips)
    rows = history(weights)
    assert list(rows[0]) == [
        *("epoch", "loss", "accuracy", "learning_rate"),
        *("selector_accuracy", "selector_guess", "selector_loss", "parameters", "run"),
    ]
    assert float(rows[0]["selector_guess"]) == pytest.approx(GUESS, abs=1e-3)
    assert "the selection module does not select: its loss is" in caplog.text


def test_nothing_is_logged_of_a_model_without_a_selection(tmp_path, clips, caplog):
    weights = trained(tmp_path, with_training(tiny.STANDARD), clips)
    assert "selection module" not in caplog.text
    assert list(history(weights)[0]) == ["epoch", "loss", "accuracy", "learning_rate", "parameters", "run"]
