"""One training loop for all defenses. A run that is killed and resumed ends with the same bytes.

All random numbers are functions of (seed, step, video), so a checkpoint needs no generator state.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline_lib.clips.loader import Prefetched
from pipeline_lib.defenses.update import optimizers_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import SAVE_EVERY_SECONDS, STOPPED
from pipeline_lib.training.processes import MicroBatchTooLargeError
from pipeline_lib.training.scoring import scored_batches
from pipeline_lib.training.selection import Scored, Selection
from pipeline_lib.training.state import State, save_micro_batches, saved_micro_batches
from pipeline_lib.training.step import step
from pipeline_lib.training.task import Task


def train(network: nn.Module, task: Task, *, folder: Path, stop: Callable[[], bool] = lambda: False) -> State:
    """Trains `network` in place; the state at the end, with one row of figures for each epoch.

    `folder` contains the checkpoints from which an interrupted run continues. `stop` is called after every step and
    every batch of an epoch's scoring.

    Raises:
        PipelineError: fewer clips than a batch, a loss that is not finite, a lost GPU, or too little memory for a
        single clip. The last checkpoint is kept. MicroBatchTooLargeError in one of several processes: all have to
        call it again.
        SystemExit: 143, after saving, if `stop` returns True in any process.
    """
    _check_batch(task)
    state = _initial_state(network, task, folder)
    size = task.settings.batch_size
    progress = Progress("training", task.steps * size, "clips", start=state.step * size)
    try:
        with Prefetched(task.clips, _shards(task, state), task.device) as data:
            _run(state, task, data, progress, folder, stop)
    except MicroBatchTooLargeError:
        save_micro_batches(folder, task.more_micro_batches(state.micro_batches))
        raise
    except torch.AcceleratorError as error:
        raise PipelineError(
            f"the GPU failed in step {state.step}; the last checkpoint is kept: run again ({error})"
        ) from error
    finally:
        progress.close()
    return state


def _initial_state(network: nn.Module, task: Task, folder: Path) -> State:
    """The initial state, or that of an interrupted run."""
    settings = task.settings
    optimizers = optimizers_of(task.defense, network, settings.optimizer)
    state = State(network, optimizers, micro_batches=settings.accumulate)
    state.restore(folder)
    if task.processes.count > 1:
        # Not the restored number, which may come from a run on a single GPU.
        most = settings.batch_size // task.processes.count
        state.micro_batches = min(max(settings.accumulate, saved_micro_batches(folder)), most)
    return state


def _check_batch(task: Task) -> None:
    size, cut = task.settings.batch_size, task.settings.accumulate * task.processes.count
    if len(task.rows) < size:
        raise PipelineError(f"training.batch_size is {size}, but there are only {len(task.rows)} clips")
    if size < cut:
        raise PipelineError(
            f"training.batch_size is {size}: too few for accumulate {task.settings.accumulate} on "
            f"{task.processes.count} GPUs, each of which needs a clip"
        )


def _shards(task: Task, state: State) -> Iterator[np.ndarray]:
    """This process's rows of each remaining step."""
    for number in range(state.step, task.steps):
        yield task.shard(task.batch(number), state.micro_batches)


class Checkpointer:
    """Saves the state at intervals, and exits after saving it if the job is asked to stop."""

    def __init__(self, state: State, task: Task, folder: Path) -> None:
        self.state, self.folder, self.saves = state, folder, task.processes.rank == 0
        self.saved = time.monotonic()

    def __call__(self, stopping: bool, *, due: bool = False) -> None:
        if self.saves and (due or stopping or time.monotonic() - self.saved > SAVE_EVERY_SECONDS):
            self.state.save(self.folder)
            self.saved = time.monotonic()
        if stopping:
            LOGGER.info("asked to stop: saved step %d", self.state.step)
            raise SystemExit(STOPPED)


def _run(
    state: State, task: Task, data: Prefetched, progress: Progress, folder: Path, stop: Callable[[], bool]
) -> None:
    checkpointer = Checkpointer(state, task, folder)
    _select_if_due(state, task, checkpointer, stop)
    for rows, frames in data:
        stopping = step(state, task, rows, frames, stop)
        row = state.epochs[-1]
        waiting = 100 * data.fraction_waited()
        progress.advance(
            task.settings.batch_size,
            epoch=row["epoch"],
            loss=row["loss"],
            accuracy=row["accuracy"],
            percent_waiting_for_data=waiting,
        )
        checkpointer(stopping, due=state.step % task.steps_per_epoch == 0)
        _select_if_due(state, task, checkpointer, stop)
    LOGGER.info("waited for data: %.2f s, %.2f %% of the time", data.waited, 100 * data.fraction_waited())


def _select_if_due(state: State, task: Task, checkpointer: Checkpointer, stop: Callable[[], bool]) -> None:
    """Scores an epoch that has ended and is saved; a resumed run continues from the last save, which is before the
    score or during it."""
    ended = state.step > 0 and state.step % task.steps_per_epoch == 0
    if ended and task.selection is not None:
        _select(state, task, task.selection, checkpointer, stop)


def _select(
    state: State, task: Task, selection: Selection, checkpointer: Checkpointer, stop: Callable[[], bool]
) -> None:
    """Scores the current epoch, and keeps its weights if it is the best so far."""
    model, size = state.model(), max(1, task.settings.batch_size // state.micro_batches)
    batches = scored_batches(model, task, selection, state.scored, batch_size=size, stop=stop)
    for state.scored, stopping in batches:
        checkpointer(stopping)
    score, state.scored = state.scored.accuracy, Scored()
    state.epochs[-1]["selection_accuracy"] = score
    state.keep_if_best(score, model)
