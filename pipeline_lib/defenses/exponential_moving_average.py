"""The exponential moving average of the weights as the model, around any other defense."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Defense, Draw, Objective
from pipeline_lib.defenses.update import Figures, MakeOptimizer, Update, optimizers_of, updated
from pipeline_lib.entries.ranges import Fraction, method


@method
class ExponentialMovingAverage:
    """Trained by `defense`; the model is theta' <- decay * theta' + (1 - decay) * theta, after every step.

    theta' starts at the initial weights. Averaging of iterates: Polyak and Juditsky (1992); in adversarial training
    with a decay of 0.995: Gowal et al., "Uncovering the Limits of Adversarial Training" (2020). BatchNorm's running
    statistics are averaged like the weights; integer buffers are those of the last step.

    defense: what the training minimizes.
    decay: weight of the average's former value, below 1.
    """

    wraps: ClassVar[str] = "defense"

    defense: Defense
    decay: Fraction

    def extend(self, network: nn.Module) -> nn.Module:
        return self.defense.extend(network)

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        return self.defense.objective(network, clips, labels, draw)

    def optimizers(self, network: nn.Module, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        return optimizers_of(self.defense, network, make)

    def step(self, update: Update) -> Figures:
        average = update.average
        if not average:
            average |= {name: value.clone() for name, value in update.network.state_dict().items()}
        figures = updated(self.defense, update)
        for name, value in update.network.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - self.decay)
            else:
                average[name].copy_(value)
        return figures
