"""The job that trains a model: from an entry and its files to published weights, in one process or in several."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write, publish, run_folder, stop_requests
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import check_same_classes, new_network, parameter_count, start_from
from pipeline_lib.networks.synchronized import synchronize
from pipeline_lib.precision import computing_in, run_metadata
from pipeline_lib.provenance.fingerprints import canonical, digest, file_digest
from pipeline_lib.training.loop import train
from pipeline_lib.training.processes import ALONE, MicroBatchTooLargeError, Processes, run_in_processes
from pipeline_lib.training.selection import Selection, split_rows
from pipeline_lib.training.state import State, remove
from pipeline_lib.training.task import Task, Training

COLUMNS = ("epoch", "loss", "accuracy", "learning_rate", "selection_accuracy", "parameters", "run")


def train_model(
    entry: dict[str, Any],
    *,
    clips: Path,
    initial: Path | None,
    runs: Path,
    code: str,
    weights: Path,
    history: Path,
    device: torch.device,
    test: Path | None = None,
    processes: int = 1,
) -> None:
    """Trains the model of an entry and publishes its weights and its history.

    The run folder below `runs` is keyed by everything that the result depends on; the number of processes, one for each
    GPU, changes rounding only and is left out. It keeps the finished model, so that coming back to an earlier
    configuration costs nothing. test: clips to select an epoch on, if the entry says so.
    """
    files = [file_digest(initial) if initial else "", *([Clips(test).checksum] if test else [])]
    key = digest(canonical(entry), code, Clips(clips).checksum, *files)
    with run_folder(runs, key) as folder, stop_requests() as stop:
        final = folder / "final.pt"
        if not final.exists():
            if processes == 1:
                fit(entry, clips=clips, initial=initial, test=test, folder=folder, device=device, stop=stop)
            else:
                paths = {"clips": clips, "initial": initial, "test": test, "folder": folder}
                call = {"entry": entry} | {name: path and str(path) for name, path in paths.items()}
                _fit_in_processes(call, processes, device, stop)
            remove(folder)
        publish(final, weights)
        write_history(checkpoint.load(final), history)


def _fit_in_processes(call: dict[str, Any], count: int, device: torch.device, stop: Callable[[], bool]) -> None:
    """`fit` in several processes; in all again, from the last checkpoint, when the memory of one was too small."""
    while True:
        try:
            return run_in_processes(f"{__name__}:fit_as_one_of_several", call, count=count, device=device, stop=stop)
        except MicroBatchTooLargeError as error:
            LOGGER.warning("%s", error)


def fit_as_one_of_several(entry: dict[str, Any], **given: Any) -> None:
    """`fit` in one of several processes, which get paths as text."""
    paths = {name: given.pop(name) for name in ("clips", "initial", "test", "folder")}
    with stop_requests() as stop:
        given |= {name: path and Path(path) for name, path in paths.items()}
        fit(entry, **given, stop=stop)


def fit(
    entry: dict[str, Any],
    *,
    clips: Path,
    initial: Path | None,
    test: Path | None,
    folder: Path,
    device: torch.device,
    stop: Callable[[], bool],
    processes: Processes = ALONE,
) -> None:
    """Trains an entry's network and writes `final.pt` in the folder; what each of several processes does."""
    data, settings = Clips(clips), build(entry["training"] | {"method": "pipeline_lib.training.task:Training"})
    network, defense = new_network(entry, len(data.classes))
    if initial:
        start_from(network, initial)
    count = parameter_count(network)
    rows, selection = _chosen_rows(data, settings, test)
    task = Task(
        defense=defense,
        clips=data,
        rows=rows,
        settings=settings,
        seed=entry["seed"],
        device=device,
        selection=selection,
        processes=processes,
    )
    with computing_in(settings.precision):
        state = train(_prepared(network.to(device), settings, processes), task, folder=folder, stop=stop)
        run = _run_metadata(state, task)
    LOGGER.info("trained with %s", run)
    if processes.rank == 0:
        _finish(state, entry, data.classes, parameters=count, run=run, path=folder / "final.pt")


def _chosen_rows(data: Clips, settings: Training, test: Path | None) -> tuple[np.ndarray, Selection | None]:
    """The clips to train on, and those to compare epochs on."""
    if settings.select_on == "held_out":
        rows, held = split_rows(data, settings.held_out)
        return rows, Selection(data, held)
    rows = np.arange(len(data))
    if settings.select_on == "last":
        return rows, None
    if test is None:
        raise PipelineError("training.select_on is test: give the test clips")
    chosen = Clips(test)
    check_same_classes(chosen.classes, data.classes, test)
    return rows, Selection(chosen, np.arange(len(chosen)))


def _prepared(network: nn.Module, settings: Training, processes: Processes) -> nn.Module:
    if processes.count > 1:
        synchronize(network)
    if settings.compile:
        network.compile()
    return network


def _run_metadata(state: State, task: Task) -> dict[str, Any]:
    settings = task.settings
    return run_metadata(
        settings.precision,
        task.device,
        seed=task.seed,
        processes=task.processes.count,
        micro_batches=state.micro_batches,
        compiled=settings.compile,
        epoch=state.best["epoch"] if state.best else settings.epochs,
        select_on=settings.select_on,
    )


def _finish(
    state: State, entry: dict[str, Any], classes: list[str], *, parameters: int, run: dict[str, Any], path: Path
) -> None:
    """Writes the model: the weights of the best epoch, or of the last one where none is selected."""
    if state.best:
        state.network.load_state_dict(state.best["weights"])
    checkpoint.save(
        path, state.network, entry=entry, classes=classes, epochs=state.epochs, parameters=parameters, run=run
    )


def write_history(model: dict[str, Any], output: Path) -> None:
    """One row for each epoch of a checkpoint: epoch, loss, accuracy (percent), learning_rate at its first step,
    selection_accuracy where epochs are selected, and then, alike in every row, `parameters` and the run's facts."""
    rows = [row | {"parameters": model["parameters"], "run": _words(model["run"])} for row in model["epochs"]]
    # Without epochs (a model shown another way, untrained) there are no rows, but still a head.
    names = [name for name in COLUMNS if name in (rows[0] if rows else COLUMNS)]
    with atomic_write(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _words(facts: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items())
