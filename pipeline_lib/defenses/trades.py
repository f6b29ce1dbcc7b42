"""TRADES: a trade-off between accuracy and a smooth output around the clips (Zhang et al., ICML 2019)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.attacks.goals import Untargeted, goal_of
from pipeline_lib.attacks.losses import divergence, kl_divergence
from pipeline_lib.attacks.protocols import Attack
from pipeline_lib.defenses.objective import Draw, Objective, adversarial_examples, logits_of_eval
from pipeline_lib.entries.ranges import NonNegative, method
from pipeline_lib.errors import PipelineError


@method
class Trades:
    """Cross-entropy on clean clips x, and beta * KL(f(x) || f(x')) averaged over the batch.

    x' is the result of the attack, which maximizes that divergence in eval mode. At x the gradient vanishes: give the
    attack a random start (`gaussian_noise`). beta: 6 in the authors' code. The training loss needs two forward passes
    in train mode, x and then x', each normalized by its own statistics. Its gradient is through both arguments of the
    divergence. The authors' code passes x a second time for the same value: their BatchNorm statistics are updated
    three times in a step, here twice.

    attack: makes the clips x' of every step.
    """

    replaces_goal: ClassVar[str] = "attack"
    examples: ClassVar[str] = "2"

    attack: Attack
    beta: NonNegative = 6.0

    def __post_init__(self) -> None:
        if (goal := goal_of(self.attack)) != Untargeted():
            raise PipelineError(f"goal is {goal}: the attack of trades maximizes a divergence, give one without a goal")

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        reference = log_probabilities(logits_of_eval(network, network, clips))
        moved = adversarial_examples(network, network, self.attack, clips, reference, draw("attack"), divergence)
        clean, adversarial = network(clips), network(moved)
        apart = kl_divergence(log_probabilities(clean), log_probabilities(adversarial)).mean()
        loss = F.cross_entropy(clean, labels) + self.beta * apart
        return Objective(loss, torch.cat([clean, adversarial]), labels.repeat(2))


def log_probabilities(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(1)
