"""What every defense shares: the result of one training step, and adversarial examples crafted for it."""

from collections.abc import Callable, Sequence
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
    """A training step's outcome: scalar loss, logits (M, classes), and the M labels they are compared with."""

    loss: Tensor
    logits: Tensor
    labels: Tensor


class Defense(Protocol):
    """How a network is extended and what its training minimizes. Clips are (N, C, T, H, W) or (N, C, H, W).

    Two more methods are a defense's own choice (`update.py`): `step(update)`, the update of the network on a batch in
    the place of one descent on the objective, and `optimizers(network, make)`, the optimizers that it takes.
    """

    def extend(self, network: nn.Module) -> nn.Module:
        """The network with what the defense adds to it."""
        ...

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        """The loss of a network in train mode. `draw(name)` gives one random generator for each clip."""
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
    """`attack` on `model`, which forwards through `network`: in eval mode, parameters frozen, statistics untouched.

    It climbs `loss(model, targets)`; without one, what its own goal makes of the labels `targets` (cross-entropy).
    """
    precision: Precision = "bf16" if torch.is_autocast_enabled(clips.device.type) else "fp32"
    with attacking(network, weights_in(attack, precision)):
        attacked_loss = loss(model, targets) if loss else goal_loss(model, clips, targets, goal_of(attack))
        # A copy: an attack that writes into its argument would change the clean clips of the training step.
        return attack(attacked_loss, clips.clone(), generators).detach()


def logits_of_eval(network: nn.Module, model: Model, clips: Tensor) -> Tensor:
    """What `model` says of clips in the state that attacks see it in; statistics and graph are left alone."""
    with attacking(network), torch.no_grad():
        return model(clips)


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Objective:
    """The mean cross-entropy over the batch, as a training step's outcome."""
    return Objective(nn.functional.cross_entropy(logits, labels), logits, labels)
