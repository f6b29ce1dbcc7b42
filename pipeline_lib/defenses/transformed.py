"""A transform of the input in front of a network, trained as another defense says (Halftone's comparisons)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Defense, Draw, Objective
from pipeline_lib.defenses.update import Figures, MakeOptimizer, Update, optimizers_of, updated
from pipeline_lib.entries.ranges import method
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.transforms.bpda import Backward, Transform, transformed


@method
class Transformed:
    """Whatever the network is called with passes `transform` first: clean clips, examples, and those in the making.

    A hook does it, so that the weights keep their names and load with and without the transform.

    backward: how attacks pass a transform that is not differentiable, those of the training included: by BPDA, or
    `none`, so that their gradient is zero (what masking looks like).
    """

    wraps: ClassVar[str] = "defense"

    transform: Transform
    defense: Defense
    backward: Literal["bpda", "none"] = "bpda"

    def extend(self, network: nn.Module) -> nn.Module:
        extended = self.defense.extend(network)
        # The outer transform of two is the first one.
        extended.register_forward_pre_hook(PreHook(self.transform, self.backward), prepend=True)
        return extended

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        with self._drawing(draw):
            return self.defense.objective(network, clips, labels, draw)

    def optimizers(self, network: nn.Module, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        return optimizers_of(self.defense, network, make)

    def step(self, update: Update) -> Figures:
        with update.within(self._drawing):
            return updated(self.defense, update)

    def _drawing(self, draw: Draw) -> AbstractContextManager[Any]:
        return drawing(draw("transform")) if self.transform.stochastic else nullcontext()


@dataclass(frozen=True)
class PreHook:
    """A forward pre-hook: what the network is to see instead of its argument."""

    transform: Transform
    backward: Backward

    def __call__(self, network: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        # A transform is part of what the model is: only the network behind it computes in bf16.
        with torch.autocast(arguments[0].device.type, enabled=False):
            return (transformed(self.transform, arguments[0], self.backward),)
