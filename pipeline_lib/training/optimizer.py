"""The papers' optimizer, by torch's function for it: the class `torch.optim.SGD` loads torch's compiler first, which
takes longer than a short training's first epoch."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.sgd import sgd


class MomentumDescent:
    """Stochastic gradient descent with momentum and weight decay; the same bytes as `torch.optim.SGD`."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, momentum: float, weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocities: list[torch.Tensor | None] = [None] * len(self.parameters)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Moves every parameter that has a gradient."""
        moved = [place for place, parameter in enumerate(self.parameters) if parameter.grad is not None]
        velocities = [self.velocities[place] for place in moved]
        sgd(
            [self.parameters[place] for place in moved],
            [self.parameters[place].grad for place in moved],  # type: ignore[misc]
            velocities,
            foreach=bool(moved) and self.parameters[0].is_cuda,
            lr=learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            dampening=0,
            nesterov=False,
            maximize=False,
        )
        for place, velocity in zip(moved, velocities, strict=True):
            self.velocities[place] = velocity

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over the velocities of a checkpoint, on the parameters' device."""
        self.velocities = [
            velocity if velocity is None else velocity.to(parameter.device)
            for velocity, parameter in zip(state["velocities"], self.parameters, strict=True)
        ]
