"""One step of training, of every defense. Everything random is drawn from (seed, step, video)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.clips.loader import as_clips
from pipeline_lib.defenses.objective import Objective
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.models.adaptive_batch_size import is_out_of_memory
from pipeline_lib.precision import autocast
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.processes import MicroBatchTooLargeError
from pipeline_lib.training.state import State
from pipeline_lib.training.task import Task


class Figures(NamedTuple):
    """Means over a batch or a micro-batch: the loss, and the correct answers in percent."""

    loss: float
    accuracy: float


def step(state: State, task: Task, rows: np.ndarray, frames: Tensor, stop: Callable[[], bool]) -> bool:
    """One optimizer step; whether any process was asked to stop."""
    local = _gradients_that_fit(state, task, rows, frames)
    loss, correct, stops = task.processes.summed([*local, float(stop())])
    if not math.isfinite(loss):
        raise _diverged(f"the training loss is {loss}", state, task)
    task.processes.sum_gradients(state.network.parameters())
    # A finite loss may have others: one step along them, and every later checkpoint is worthless.
    if not _gradients_are_finite(state):
        raise _diverged("the gradients are not finite", state, task)
    rate = task.learning_rate(state.step)
    state.optimizer.step(rate)
    _account(state, task, Figures(loss, correct), rate)
    state.step += 1
    return stops > 0


def _gradients_are_finite(state: State) -> bool:
    gradients = [parameter.grad for parameter in state.network.parameters() if parameter.grad is not None]
    return bool(torch.nn.utils.get_total_norm(gradients).isfinite())


def _diverged(what: str, state: State, task: Task) -> PipelineError:
    epoch = state.step // task.steps_per_epoch + 1
    return PipelineError(
        f"{what} in epoch {epoch}, step {state.step}: lower the learning rate; the last good checkpoint is kept"
    )


def _gradients_that_fit(state: State, task: Task, rows: np.ndarray, frames: Tensor) -> Figures:
    """The gradients of a batch; with half the clips at once, from now on, each time that the memory is too small.

    The mean loss is the same; BatchNorm then sees smaller micro-batches, as with `accumulate`.
    """
    while True:
        put_back = state.statistics()
        try:
            return _gradients(state, task, rows, frames)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            message = _smaller_micro_batches(state, task, error)
            if task.processes.count > 1:  # the others wait for this one's shard of the present pass
                raise MicroBatchTooLargeError(message) from error
        put_back()
        state.network.zero_grad(set_to_none=True)
        if task.device.type == "cuda":
            torch.cuda.empty_cache()
        state.micro_batches = task.more_micro_batches(state.micro_batches)
        LOGGER.warning(message)


def _smaller_micro_batches(state: State, task: Task, error: RuntimeError) -> str:
    """What is done about an error, as a warning. PipelineError if a micro-batch has a single clip already."""
    micro_batches = task.more_micro_batches(state.micro_batches)
    if micro_batches == state.micro_batches:
        raise PipelineError(
            "out of memory with a single clip: use precision bf16, smaller clips or a larger GPU"
        ) from error
    return (
        f"out of memory in step {state.step}: batches of {task.settings.batch_size} clips now pass in "
        f"{micro_batches} micro-batches, and BatchNorm sees each by itself. `accumulate: {micro_batches}` in the "
        "training entry does so from the start"
    )


def _gradients(state: State, task: Task, rows: np.ndarray, frames: Tensor) -> Figures:
    """Sums the gradients of all micro-batches of this process's shard; returns its shard of the batch's figures."""
    state.network.train()
    sums = [0.0, 0.0]
    done = 0
    for micro_batch in np.array_split(np.arange(task.settings.batch_size), state.micro_batches):
        here = slice(done, done + len(task.processes.shard(micro_batch)))
        outcome = _outcome(state, task, rows[here], frames[here])
        if not done:  # not before the first forward pass, which would take their memory: more page faults in all
            state.optimizer.zero_grad()
        weight = (here.stop - here.start) / task.settings.batch_size
        (outcome.loss * weight).backward()
        seen = _figures(outcome)
        sums = [total + weight * figure for total, figure in zip(sums, seen, strict=True)]
        done = here.stop
    return Figures(*sums)


def _outcome(state: State, task: Task, rows: np.ndarray, frames: Tensor) -> Objective:
    """Forward of some clips at once."""
    videos = as_clips(frames, task.device)
    labels = torch.from_numpy(task.clips.labels[rows]).to(task.device)

    def draw(name: str) -> list[torch.Generator]:
        return clip_generators(task.seed, [f"{state.step}/{task.clips.videos[row]}/{name}" for row in rows])

    augmented = task.settings.augmentation(videos, draw("augmentation"))
    with autocast(task.settings.precision, task.device):
        return task.defense.objective(state.network, augmented, labels, draw)


def _figures(outcome: Objective) -> Figures:
    correct = (outcome.logits.detach().argmax(1) == outcome.labels).float().mean()
    loss, fraction = torch.stack([outcome.loss.detach().float(), correct]).tolist()
    return Figures(loss, 100 * fraction)


def _account(state: State, task: Task, figures: Figures, rate: float) -> None:
    """Adds a step to its epoch's running means."""
    epoch, batch = divmod(state.step, task.steps_per_epoch)
    if len(state.epochs) == epoch:
        state.epochs.append({"epoch": epoch + 1, "loss": 0.0, "accuracy": 0.0, "learning_rate": rate})
    row = state.epochs[epoch]
    row["loss"] += (figures.loss - row["loss"]) / (batch + 1)
    row["accuracy"] += (figures.accuracy - row["accuracy"]) / (batch + 1)
