"""The update of a network on one batch: passes of each process's shard, in micro-batches that fit into the memory.

All random numbers are functions of (seed, step, video).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.clips.loader import as_clips
from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.defenses.update import NETWORK, Craft, Figures, MakeObjective
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.models.adaptive_batch_size import is_out_of_memory
from pipeline_lib.precision import autocast
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.processes import MicroBatchTooLargeError
from pipeline_lib.training.state import State
from pipeline_lib.training.task import Task

T = TypeVar("T")


class BatchUpdate:
    """The argument of a defense's step (`defenses.update.Update`). rows, frames: this process's shard of the batch.

    stopping: whether any process was asked to stop; None before the first exchange between processes.
    """

    def __init__(self, state: State, task: Task, rows: np.ndarray, frames: Tensor, stop: Callable[[], bool]) -> None:
        self.state, self.task, self.rows, self.frames, self.stop = state, task, rows, frames, stop
        self.network, self.average, self.memory = state.network, state.average, state.memory
        self.rate = task.learning_rate(state.step)
        self.progress = state.step / task.steps
        self.stopping: bool | None = None
        self.contexts: list[Callable[[Draw], AbstractContextManager[Any]]] = []
        self.passes = 0

    @cached_property
    def clips(self) -> Tensor:
        return self._augmented(slice(None))

    @cached_property
    def labels(self) -> Tensor:
        return self._labels(slice(None))

    def gradients(self, objective: MakeObjective, clips: Tensor | None = None) -> Figures:
        local = self._passed(lambda: self._accumulated(objective, clips), self.network.zero_grad)
        figures = self._exchanged(local)
        if not math.isfinite(figures.loss):
            raise self._diverged(f"the training loss is {figures.loss}")
        self.task.processes.sum_gradients(self.network.parameters())
        # The gradients of a finite loss may not be finite: one step along them would spoil all later checkpoints.
        if not gradients_are_finite(self.network):
            raise self._diverged("the gradients are not finite")
        return figures

    def crafted(self, craft: Craft) -> Tensor:
        return self._passed(lambda: torch.cat([self._called(craft, here) for here in self._micro_batches()])).detach()

    def descend(self, name: str = NETWORK, rate: float | None = None) -> None:
        if name not in self.state.optimizers:
            raise PipelineError(f"there is no optimizer {name!r}: this defense has {', '.join(self.state.optimizers)}")
        optimizer = self.state.optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = self.rate if rate is None else rate
        optimizer.step()

    @contextmanager
    def within(self, context: Callable[[Draw], AbstractContextManager[Any]]) -> Iterator[None]:
        self.contexts.append(context)
        try:
            yield
        finally:
            self.contexts.pop()

    @contextmanager
    def kept_statistics(self) -> Iterator[None]:
        put_back = self.state.statistics()
        try:
            yield
        finally:
            put_back()

    def joined(self, values: Tensor) -> Tensor:
        size = self.task.settings.batch_size
        return self.task.processes.joined(values, self.task.shard(np.arange(size), self.state.micro_batches), size)

    def shard(self, values: Tensor) -> Tensor:
        return values[self.task.shard(np.arange(len(values)), self.state.micro_batches)]

    def any_stop(self) -> bool:
        """Whether any process was asked to stop, also if the step exchanged nothing."""
        if self.stopping is None:
            self._exchanged(Figures(0.0, 0.0))
        return bool(self.stopping)

    def _exchanged(self, local: Figures) -> Figures:
        """The sums over all processes, in one exchange with requests to stop."""
        sums = [local.loss, local.accuracy, float(self.stop()), *local.others.values()]
        loss, accuracy, stops, *others = self.task.processes.summed(sums)
        self.stopping = bool(self.stopping) or stops > 0
        return Figures(loss, accuracy, dict(zip(local.others, others, strict=True)))

    def _passed(self, work: Callable[[], T], discard: Callable[[], None] = lambda: None) -> T:
        """The result of passing the whole shard; each time that the memory is too small, the micro-batches are halved
        permanently. discard: what a pass that did not end has left.

        The mean loss is the same; BatchNorm then normalizes smaller micro-batches, as with `accumulate`.
        """
        while True:
            put_back = self.state.statistics()
            try:
                result = work()
                self.passes += 1
                return result
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                message = smaller_micro_batches(self.state, self.task, error)
                if self.task.processes.count > 1:  # the other processes wait for this one's shard of the current pass
                    raise MicroBatchTooLargeError(message) from error
            put_back()
            discard()
            if self.task.device.type == "cuda":
                torch.cuda.empty_cache()
            self.state.micro_batches = self.task.more_micro_batches(self.state.micro_batches)
            LOGGER.warning(message)

    def _micro_batches(self) -> Iterator[slice]:
        """The slice of this process's shard for each micro-batch."""
        done = 0
        for micro_batch in np.array_split(np.arange(self.task.settings.batch_size), self.state.micro_batches):
            here = slice(done, done + len(self.task.processes.shard(micro_batch)))
            yield here
            done = here.stop

    def _accumulated(self, objective: MakeObjective, clips: Tensor | None) -> Figures:
        """Accumulates gradients over this process's micro-batches; returns its part of the batch's figures."""
        self.network.train()
        if clips is not None and clips.is_leaf:
            clips.grad = None
        total = Figures(0.0, 0.0)
        for here in self._micro_batches():
            outcome = self._called(objective, here, clips)
            if here.start == 0:  # not earlier: the forward pass would reuse their memory (more page faults)
                self.network.zero_grad(set_to_none=True)
            weight = (here.stop - here.start) / self.task.settings.batch_size
            (outcome.loss * weight).backward()
            total = added(total, figures_of(outcome), weight)
        return total

    def _called(self, function: Callable[..., T], here: slice, clips: Tensor | None = None) -> T:
        """The value of a function of (network, clips, labels, draw) for some clips at once."""
        videos, labels = self._augmented(here) if clips is None else clips[here], self._labels(here)
        draw = self._draws(here, f" in pass {self.passes}" if self.passes else "")
        with ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context(draw))
            stack.enter_context(autocast(self.task.settings.precision, self.task.device))
            return function(self.network, videos, labels, draw)

    def _augmented(self, here: slice) -> Tensor:
        clips = as_clips(self.frames[here], self.task.device)
        return self.task.settings.augmentation(clips, self._draws(here)("augmentation"))

    def _labels(self, here: slice) -> Tensor:
        return torch.from_numpy(self.task.clips.labels[self.rows[here]]).to(self.task.device)

    def _draws(self, here: slice, which: str = "") -> Draw:
        """Generators for some clips; each pass of a step after the first has its own."""
        keys = [f"{self.state.step}/{self.task.clips.videos[row]}" for row in self.rows[here]]
        return lambda name: clip_generators(self.task.seed, [f"{key}/{name}{which}" for key in keys])

    def _diverged(self, what: str) -> PipelineError:
        step = self.state.step
        where = f"epoch {step // self.task.steps_per_epoch + 1}, step {step}"
        return PipelineError(f"{what} in {where}: lower the learning rate; the last good checkpoint is kept")


def gradients_are_finite(network: nn.Module) -> bool:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return bool(torch.nn.utils.get_total_norm(gradients).isfinite())


def smaller_micro_batches(state: State, task: Task, error: RuntimeError) -> str:
    """The warning about halved micro-batches. Raises PipelineError if a micro-batch already has a single clip."""
    micro_batches = task.more_micro_batches(state.micro_batches)
    if micro_batches == state.micro_batches:
        raise PipelineError(
            "out of memory with a single clip: use precision bf16, smaller clips or a larger GPU"
        ) from error
    return (
        f"out of memory in step {state.step}: batches of {task.settings.batch_size} clips now pass in "
        f"{micro_batches} micro-batches, and BatchNorm normalizes each by itself. `accumulate: {micro_batches}` in the "
        "training entry does so from the start"
    )


def figures_of(outcome: Objective) -> Figures:
    """The loss and the accuracy of a pass, in one transfer from the device."""
    correct = (outcome.logits.detach().argmax(1) == outcome.labels).float().mean()
    scalars = [outcome.loss.detach().float(), correct, *(value.detach().float() for value in outcome.figures.values())]
    loss, fraction, *others = torch.stack(scalars).tolist()
    return Figures(loss, 100 * fraction, dict(zip(outcome.figures, others, strict=True)))


def added(total: Figures, figures: Figures, weight: float) -> Figures:
    """The sum of figures and weighted ones."""
    others = {name: total.others.get(name, 0.0) + weight * value for name, value in figures.others.items()}
    return Figures(total.loss + weight * figures.loss, total.accuracy + weight * figures.accuracy, others)
