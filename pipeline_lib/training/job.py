"""The training job: from an entry and its files to published weights, in one process or in several."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import publish, run_folder, stop_requests
from pipeline_lib.models import checkpoint
from pipeline_lib.models.ensemble import MeanLogits, load_members
from pipeline_lib.models.trained import (
    check_same_classes,
    new_network,
    parameter_count,
    start_from,
    start_generator_from,
    start_selection_from,
)
from pipeline_lib.networks.synchronized import synchronize
from pipeline_lib.precision import computing_in, run_metadata
from pipeline_lib.provenance.fingerprints import canonical, digest, file_digest
from pipeline_lib.training.history import warn_of_guesses, write_history
from pipeline_lib.training.loop import train
from pipeline_lib.training.processes import ALONE, MicroBatchTooLargeError, Processes
from pipeline_lib.training.selection import Selection, split_rows
from pipeline_lib.training.state import State, remove
from pipeline_lib.training.task import Task, Training
from pipeline_lib.training.workers import run_in_processes

TRAIN_AGAIN = "snakemake --forcerun train trains again"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The input files of a training. initial, selector, generator, members: weights of the network, of its selection
    module, of its transform's generator, of an ensemble's members. test: clips to select an epoch on, if any."""

    clips: Path
    initial: Path | None = None
    selector: Path | None = None
    members: tuple[Path, ...] = ()
    generator: Path | None = None
    test: Path | None = None

    def digests(self) -> list[str]:
        files = [Clips(self.clips).checksum, file_digest(self.initial) if self.initial else ""]
        files += [f"selector {file_digest(self.selector)}"] if self.selector else []
        files += [f"member {file_digest(member)}" for member in self.members]
        files += [f"generator {file_digest(self.generator)}"] if self.generator else []
        return [*files, *([Clips(self.test).checksum] if self.test else [])]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The published files of a training, and the parent of its run folder."""

    weights: Path
    history: Path
    runs: Path


def train_model(
    entry: dict[str, Any], inputs: Inputs, outputs: Outputs, *, code: str, device: torch.device, processes: int = 1
) -> None:
    """Trains the model of an entry and publishes its weights and its history.

    The run folder below `outputs.runs` is named by a hash of everything that the result depends on (code: the
    fingerprint of the code). The number of processes, one per GPU, changes rounding only and is left out. The folder
    keeps the finished model, so that returning to an earlier configuration costs nothing.
    """
    key = digest(canonical(entry), code, *inputs.digests())
    with run_folder(outputs.runs, key) as folder, stop_requests() as stop:
        final = folder / "final.pt"
        if is_whole(final):
            LOGGER.info("nothing is trained: %s was kept by an earlier run of the same work; %s", final, TRAIN_AGAIN)
        else:
            if processes == 1:
                fit(entry, inputs, folder, device=device, stop=stop)
            else:
                _fit_in_processes(entry, inputs, folder, processes, device, stop)
            remove(folder)
        publish(final, outputs.weights)
        model = checkpoint.load(final)
        write_history(model, outputs.history)
        warn_of_guesses(model["epochs"])


def is_whole(final: Path) -> bool:
    """Whether a valid finished model exists. It may be hard-linked to the published one, so damage affects both."""
    if not final.exists():
        return False
    try:
        checkpoint.load(final)
    except PipelineError as error:
        LOGGER.warning("the finished model of this run cannot be used, it is trained again: %s", error)
        return False
    return True


def _fit_in_processes(
    entry: dict[str, Any], inputs: Inputs, folder: Path, count: int, device: torch.device, stop: Callable[[], bool]
) -> None:
    """`fit` in several processes; restarts all from the last checkpoint if the memory of one was too small."""
    files = {name: path and str(path) for name, path in asdict(inputs).items() if name != "members"}
    members = [str(path) for path in inputs.members]
    call = {"entry": entry, "inputs": files, "members": members, "folder": str(folder)}
    while True:
        try:
            return run_in_processes(f"{__name__}:fit_as_one_of_several", call, count=count, device=device, stop=stop)
        except MicroBatchTooLargeError as error:
            LOGGER.warning("%s", error)


def fit_as_one_of_several(
    entry: dict[str, Any],
    inputs: dict[str, str | None],
    members: list[str],
    folder: str,
    *,
    device: torch.device,
    processes: Processes,
) -> None:
    """`fit` in one of several processes; paths are passed as text."""
    files: Any = {name: path and Path(path) for name, path in inputs.items()}
    given = Inputs(**files, members=tuple(map(Path, members)))
    with stop_requests() as stop:
        fit(entry, given, Path(folder), device=device, stop=stop, processes=processes)


def fit(
    entry: dict[str, Any],
    inputs: Inputs,
    folder: Path,
    *,
    device: torch.device,
    stop: Callable[[], bool],
    processes: Processes = ALONE,
) -> None:
    """Trains an entry's network and writes `final.pt` in the folder; each of several processes calls it."""
    data, settings = Clips(inputs.clips), build(entry["training"] | {"method": "pipeline_lib.training.task:Training"})
    network, defense = new_network(entry, len(data.classes))
    if inputs.initial:
        start_from(network, inputs.initial, None if entry["training"]["epochs"] else data.classes)
    if inputs.members:
        load_members(cast(MeanLogits, network), inputs.members, data.classes)
    if inputs.selector:
        start_selection_from(network, inputs.selector)
    if inputs.generator:
        start_generator_from(network, inputs.generator)
    count = parameter_count(network)
    rows, selection = _chosen_rows(data, settings, inputs.test)
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
        _finish(state, folder / "final.pt", entry=entry, classes=data.classes, parameters=count, run=run)


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


def _finish(state: State, path: Path, **facts: Any) -> None:
    """Writes the model: the weights of the best epoch, or the last ones if no epoch is selected."""
    model = state.network if state.best else state.model()
    if state.best:
        model.load_state_dict(state.best["weights"])
    checkpoint.save(path, model, epochs=state.epochs, **facts)
