"""Optimizers of `torch.optim` as entries. The training's schedule sets the learning rate at each step.

The first optimizer of a process loads torch's compiler, which takes a second; warm processes have loaded it.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn

from pipeline_lib.entries.ranges import Fraction, NonNegative, OpenFraction, method


class Optimizer(Protocol):
    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of these parameters; its learning rate is set before each step."""


@method
class SGD:
    """Stochastic gradient descent as the papers use it: momentum without dampening, weight decay in the gradient.

    nesterov: Nesterov's momentum, which needs a momentum above 0.
    momentum: weight of the former steps.
    weight_decay: factor of the weights in the gradient.
    """

    momentum: Fraction = 0.9
    weight_decay: NonNegative = 1e-5
    nesterov: bool = False

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, lr=0.0, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )


@method
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).

    beta1, beta2: decays of the averages of the gradient and its square.
    weight_decay: per step and unit of the learning rate.
    """

    beta1: OpenFraction = 0.9
    beta2: OpenFraction = 0.999
    weight_decay: NonNegative = 0.01

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=0.0, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay)
