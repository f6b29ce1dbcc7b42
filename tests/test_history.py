"""The history of a training as a CSV file."""

from pathlib import Path
from typing import Any

from pipeline_lib.training.history import write_history


def written(folder: Path, epochs: list[dict[str, Any]]) -> list[str]:
    run = {"seed": 3, "device": "cpu"}
    write_history({"epochs": epochs, "parameters": 7, "run": run}, folder / "history.csv")
    return (folder / "history.csv").read_text().splitlines()


def test_columns_are_in_one_order_with_the_figures_of_the_objective_behind_them(tmp_path):
    row = {"penalty": 0.5, "accuracy": 75.0, "epoch": 1, "loss": 2.0, "learning_rate": 0.1}
    assert written(tmp_path, [row, row | {"epoch": 2}]) == [
        "epoch,loss,accuracy,learning_rate,penalty,parameters,run",
        "1,2.0,75.0,0.1,0.5,7,seed 3; device cpu",
        "2,2.0,75.0,0.1,0.5,7,seed 3; device cpu",
    ]


def test_a_model_without_epochs_has_a_header(tmp_path):
    assert written(tmp_path, []) == ["epoch,loss,accuracy,learning_rate,selection_accuracy,parameters,run"]
