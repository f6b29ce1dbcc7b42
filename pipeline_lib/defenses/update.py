"""One update of a network on a batch: an optimizer step on the defense's objective, or the defense's own `step`."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.errors import PipelineError

# Functions of (network, clips, labels, draw) for some clips of the batch. A defense's `objective` is a MakeObjective.
MakeObjective = Callable[[nn.Module, Tensor, Tensor, Draw], Objective]
Craft = Callable[[nn.Module, Tensor, Tensor, Draw], Tensor]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
NETWORK = "network"  # the name of the optimizer of a defense that declares none


class Figures(NamedTuple):
    """Means over a batch or a micro-batch: the loss, the accuracy in percent, and the objective's own by name."""

    loss: float
    accuracy: float
    others: Mapping[str, float] = MappingProxyType({})


class Update(Protocol):
    """The argument of a defense's `step(update)`, which returns the Figures of the batch.

    `gradients` and `crafted` process each process's shard of the batch in micro-batches, in the precision of the
    training, and in smaller micro-batches when the memory is too small. A step that only uses these two and `descend`
    needs no code for this. Other passes of a step are over the whole shard, in fp32 by default, and the step must sum
    over the processes.

    average: weights by their names in the state dict; if there are any, they are the model instead of the network's.
    memory: other tensors that a defense keeps between steps. Both are saved and resumed with the training, and must be
        the same in every process.
    """

    @property
    def network(self) -> nn.Module: ...

    @property
    def rate(self) -> float:
        """The learning rate of this step."""

    @property
    def progress(self) -> float:
        """The fraction of the training's steps before this one: 0 in the first step, below 1 in the last."""

    @property
    def average(self) -> dict[str, Tensor]: ...

    @property
    def memory(self) -> dict[str, Tensor]: ...

    @property
    def clips(self) -> Tensor:
        """(n, C, T, H, W): this process's shard of the batch, augmented."""

    @property
    def labels(self) -> Tensor:
        """(n,): their labels."""

    def gradients(self, objective: MakeObjective, clips: Tensor | None = None) -> Figures:
        """Leaves the gradients of the batch's mean loss in the parameters; the network is in train mode.

        clips: used instead of `self.clips`. If they are a leaf that requires gradients, they get their gradient,
            times a positive number.

        Raises:
            PipelineError: the loss or a gradient is not finite, or the memory is too small for a single clip.
        """

    def crafted(self, craft: Craft) -> Tensor:
        """(n, ...): `craft` applied to the clips, e.g. adversarial examples. The parameters keep no gradients of it."""

    def descend(self, name: str = NETWORK, rate: float | None = None) -> None:
        """One step of the optimizer of that name along the current gradients, at `self.rate` or another rate."""

    def within(self, context: Callable[[Draw], AbstractContextManager[Any]]) -> AbstractContextManager[None]:
        """Inside, every pass is made within `context(draw)`."""

    def kept_statistics(self) -> AbstractContextManager[None]:
        """Inside, passes update BatchNorm's statistics as usual; at the end they are restored."""

    def joined(self, values: Tensor) -> Tensor:
        """(n, ...) for this process's clips -> (batch, ...) for all clips, the same in every process."""

    def shard(self, values: Tensor) -> Tensor:
        """(batch, ...) for all clips -> (n, ...) for those of this process."""


def updated(defense: Any, update: Update) -> Figures:
    """One update of the network, by the defense's `step` if it has one. Returns the means over the batch."""
    if not hasattr(defense, "step"):
        return descended(defense.objective, update)
    figures = defense.step(update)
    if not isinstance(figures, Figures):
        raise PipelineError(f"{type(defense).__name__}.step returned {figures!r}: return the Figures of its batch")
    return figures


def descended(objective: MakeObjective, update: Update) -> Figures:
    """One optimizer step along the gradients of an objective: the update of a defense without a `step`."""
    figures = update.gradients(objective)
    update.descend()
    return figures


def optimizers_of(defense: Any, network: nn.Module, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
    """The optimizers of a training by name: one for the whole network, or those of `defense.optimizers(network, make)`.

    make: the `optimizer` of the training entry.
    """
    if hasattr(defense, "optimizers"):
        return defense.optimizers(network, make)
    return {NETWORK: make(network.parameters())}
