"""Adversarial training with adversarial weight perturbation (AWP; Wu, Xia and Wang, NeurIPS 2020)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.protocols import Attack
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.objective import Draw, Objective, adversarial_examples, mean_cross_entropy
from pipeline_lib.defenses.update import Figures, Update
from pipeline_lib.entries.ranges import NonNegative, method


@method
class AdversarialWeightPerturbation:
    """min over w, max over v with |v_l| <= gamma * |w_l| in every layer l, of the loss of adversarial clips at w + v.

    As in the paper's algorithm with one step for v, and in the authors' code: clips x' are crafted at w;
    v_l = gamma * |w_l| * g_l / |g_l| for the gradient g of their loss at w; then w <- (w + v) - (the optimizer's step
    at w + v) - v. Weights of two or more dimensions are perturbed, biases and BatchNorm are not. The pass for v does
    not update BatchNorm's statistics. gamma: 0.01 in their code; 0 is adversarial training.

    attack: makes the clips x' of every step.
    """

    passes: ClassVar[str] = "attack.passes + 1"  # one for the perturbation of the weights

    attack: Attack
    gamma: NonNegative

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        return AdversarialTraining(attack=self.attack).objective(network, clips, labels, draw)

    def step(self, update: Update) -> Figures:
        examples = update.crafted(self._craft)
        with update.kept_statistics():
            update.gradients(on_given_clips, examples)
        with perturbed(perturbation(update.network, self.gamma)):
            figures = update.gradients(on_given_clips, examples)
            update.descend()
        return figures

    def _craft(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Tensor:
        return adversarial_examples(network, network, self.attack, clips, labels, draw("attack"))


def on_given_clips(network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
    return mean_cross_entropy(network(clips), labels)


@torch.no_grad()
def perturbation(network: nn.Module, gamma: float) -> dict[nn.Parameter, Tensor]:
    """gamma * |w| * g / |g| for each weight that has a gradient; zero where the gradient is zero."""
    weights = [(weight, weight.grad) for weight in network.parameters() if weight.dim() > 1]
    return {weight: gamma * weight.norm() * unit(gradient) for weight, gradient in weights if gradient is not None}


def unit(vector: Tensor) -> Tensor:
    """The vector scaled to length 1; zero remains zero."""
    return vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)


@contextmanager
def perturbed(moves: dict[nn.Parameter, Tensor]) -> Iterator[None]:
    """Inside, `moves` are added to the weights; at the end they are subtracted from the current weights."""
    with torch.no_grad():
        for weight, move in moves.items():
            weight.add_(move)
    yield
    with torch.no_grad():
        for weight, move in moves.items():
            weight.sub_(move)
