"""Common to all defenses: the objective of a training step, and adversarial examples crafted for it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goal_loss import goal_loss
from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.protocols import Attack, Loss, Model
from pipeline_lib.precision import Precision, weights_in

Draw = Callable[[str], Sequence[torch.Generator]]


class Objective(NamedTuple):
    """A training step's outcome: scalar loss, logits (M, classes), and the M labels for its accuracy.

    figures: further scalars by name, e.g. a term of the loss; their means over each epoch are columns of the history.
    """

    loss: Tensor
    logits: Tensor
    labels: Tensor
    figures: Mapping[str, Tensor] = MappingProxyType({})


class Defense(Protocol):
    """Extends a network and defines the loss of its training. Clips are (N, C, T, H, W) or (N, C, H, W).

    Two more methods are optional (`update.py`): `step(update)`, an update of the network on a batch instead of one
    optimizer step on the objective, and `optimizers(network, make)`, the optimizers for it.
    """

    def extend(self, network: nn.Module) -> nn.Module:
        """The network with the defense's additions."""
        ...

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        """The loss of a network in train mode. `draw(name)` returns one random generator per clip."""
        ...


def adversarial_examples(
    network: nn.Module,
    model: Model,
    attack: Attack,
    clips: Tensor,
    targets: Tensor,
    generators: Sequence[torch.Generator],
    loss: Callable[[Model, Tensor], Loss] | None = None,
) -> Tensor:
    """`attack` on `model`, which calls `network`: in eval mode, parameters frozen, statistics unchanged.

    It maximizes `loss(model, targets)`; without one, the loss of its own goal for the labels `targets` (cross-entropy).
    """
    precision: Precision = "bf16" if torch.is_autocast_enabled(clips.device.type) else "fp32"
    with attacking(network, weights_in(attack, precision)):
        attacked_loss = loss(model, targets) if loss else goal_loss(model, clips, targets, goal_of(attack))
        # A copy: an attack that writes into its argument would change the clean clips of the training step.
        return attack(attacked_loss, clips.clone(), generators).detach()


def logits_of_eval(network: nn.Module, model: Model, clips: Tensor) -> Tensor:
    """The logits of clips in eval mode, as in attacks; without a graph and with unchanged statistics."""
    with attacking(network), torch.no_grad():
        return model(clips)


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Objective:
    """The mean cross-entropy over the batch, as the objective of a training step."""
    return Objective(nn.functional.cross_entropy(logits, labels), logits, labels)
