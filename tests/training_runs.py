"""Trainings of the tiny network, whole or interrupted, for tests of what they end with."""

import contextlib
import csv
from pathlib import Path

import pytest
import torch

import tiny
from pipeline_lib.training.job import Inputs, Outputs, train_model

CPU = torch.device("cpu")


def trained(
    folder: Path,
    entry: dict,
    clips: Path,
    name: str = "model",
    initial: Path | None = None,
    test: Path | None = None,
    processes: int = 1,
) -> Path:
    """The weights of an entry's model, in the folder; the history lies beside them."""
    torch.set_num_threads(1)
    outputs = Outputs(weights=folder / f"{name}.pt", history=folder / f"{name}.csv", runs=folder / "runs")
    inputs = Inputs(clips=clips, initial=initial, test=test)
    train_model(entry, inputs, outputs, code="code", device=CPU, processes=processes)
    return outputs.weights


def trained_step_by_step(
    folder: Path, entry: dict, clips: Path, monkeypatch: pytest.MonkeyPatch, **more: Path
) -> tuple[Path, int]:
    """The weights of a training that is asked to stop after every step, and how many times it was."""
    stops = 0
    while not (folder / "model.pt").exists():
        with monkeypatch.context() as patch:
            patch.setattr("pipeline_lib.training.job.stop_requests", always_asked)
            with contextlib.suppress(SystemExit):
                trained(folder, entry, clips, **more)
                continue
            stops += 1
            assert stops < 100, "nothing is kept"
    return folder / "model.pt", stops


class always_asked:  # noqa: N801 - stands in for a context manager function
    def __enter__(self):
        return lambda: True

    def __exit__(self, *error):
        return None


def history(weights: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(weights.with_suffix(".csv").open()))


def with_training(defense: dict = tiny.STANDARD, **fields: object) -> dict:
    return tiny.model_entry(defense) | {"training": tiny.TRAINING | fields}


def stopped_once(tmp_path: Path, entry: dict, clips: Path, monkeypatch, times: int = 1, **more: Path) -> Path:
    """The run folder of a training that was stopped after each of `times` steps or batches of a selection."""
    for _ in range(times):
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr("pipeline_lib.training.job.stop_requests", always_asked)
            trained(tmp_path, entry, clips, **more)
    return next((tmp_path / "runs").iterdir())
