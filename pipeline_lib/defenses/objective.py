"""What every defense shares: the result of one training step, and adversarial examples crafted for it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.losses import attacking, cross_entropy

Model = Callable[[Tensor], Tensor]
Draw = Callable[[str], Sequence[torch.Generator]]


class Attack(Protocol):
    """Maximizes `loss` (clips (N, C, T, H, W) to (N,)) around the clips; one generator for each clip."""

    def __call__(self, loss: Model, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor: ...


class Objective(NamedTuple):
    """A training step's outcome: scalar loss, logits (M, classes), and the M labels they are compared with."""

    loss: Tensor
    logits: Tensor
    labels: Tensor


class Defense(Protocol):
    """How a network is extended and what its training minimizes."""

    def extend(self, network: nn.Module) -> nn.Module:
        """The network with what the defense adds to it."""
        ...

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        """One forward pass in train mode. `draw(name)` gives one random generator for each clip."""
        ...


def adversarial_examples(
    network: nn.Module,
    model: Model,
    attack: Attack,
    clips: Tensor,
    labels: Tensor,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """`attack` on `model`, which forwards through `network`: in eval mode, parameters frozen, statistics untouched."""
    with attacking(network):
        return attack(cross_entropy(model, labels), clips, generators).detach()


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Objective:
    """The mean cross-entropy over the batch, as a training step's outcome."""
    return Objective(nn.functional.cross_entropy(logits, labels), logits, labels)
