"""Free adversarial training: one backward pass for the weights and the perturbation (Shafahi et al., NeurIPS 2019)."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.defenses.update import Figures, Update
from pipeline_lib.entries.ranges import Count, PixelChange, method

PERTURBATION = "perturbation"


@method
class FreeAdversarialTraining:
    """`replays` (m) times on each batch: gradients of the loss at x + delta to theta and to x; an optimizer step for
    theta along the first, delta <- clip(delta + epsilon * sign(the second), -epsilon, epsilon).

    Algorithm 1 of the paper: delta is zero at the start of the training, and each batch starts from the delta of
    the last one. As in the authors' code, x + delta is clipped to [0, 1], and delta is not updated where it was
    clipped. Both gradients are of the network in train mode. The figures are those of the last replay. Epochs are
    compared on examples of one such step from delta = 0, the fast gradient sign method.

    epsilon: largest change of a pixel, and its step.
    replays: times that each batch is used.
    """

    passes: ClassVar[str] = "replays - 1"  # in addition to the pass of any training step

    epsilon: PixelChange
    replays: Count

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        step = AdditiveLinf(epsilon=self.epsilon, step_size=self.epsilon)
        return AdversarialTraining(attack=Ascent(perturbation=step, steps=1)).objective(network, clips, labels, draw)

    def step(self, update: Update) -> Figures:
        clips, memory = update.clips, update.memory
        delta = update.shard(memory[PERTURBATION]) if PERTURBATION in memory else torch.zeros_like(clips)
        for _ in range(self.replays):
            moved = clips + delta
            clipped = moved.clamp(0, 1).requires_grad_()
            figures = update.gradients(Standard().objective, clipped)
            update.descend()
            delta = self._ascended(delta, clipped, moved)
        memory[PERTURBATION] = update.joined(delta)
        return figures

    def _ascended(self, delta: Tensor, clipped: Tensor, moved: Tensor) -> Tensor:
        if clipped.grad is None:
            raise RuntimeError("no gradient reaches the clips: the network detaches its input")
        reached = clipped.grad.sign() * (clipped == moved)
        return (delta + self.epsilon * reached).clamp(-self.epsilon, self.epsilon).detach()
