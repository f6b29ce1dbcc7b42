"""A transform of the input in front of a network, trained by another defense (Halftone's comparisons)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Defense, Draw, Objective
from pipeline_lib.defenses.update import Figures, MakeOptimizer, Update, optimizers_of, updated
from pipeline_lib.entries.ranges import method
from pipeline_lib.networks.extension import Fixed
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.transforms.bpda import Backward, Deterministic, Generator, Stochastic, Transform, transformed

GENERATOR = "generator"  # the name of its module in the extended network
NO_CLASSES = 0


@method
class Transformed:
    """`transform` is applied to all inputs of the network: clean clips, adversarial examples, and iterates of attacks.

    It is a hook, so the names of the weights do not change, and they load with and without the transform.

    backward: the gradient of a transform that is not differentiable, in all attacks, those of the training included:
    BPDA, or `none` for a zero gradient (gradient masking).
    transform: of the network's inputs.
    defense: what the training minimizes.
    """

    wraps: ClassVar[str] = "defense"

    transform: Transform
    defense: Defense
    backward: Literal["bpda", "none"] = "bpda"

    def extend(self, network: nn.Module) -> nn.Module:
        extended = self.defense.extend(network)
        made_by = generator_of(self.transform)
        if made_by is not None:
            extended.add_module(GENERATOR, Fixed(made_by(NO_CLASSES)))
        # Of two transforms, the outer one is applied first.
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
    """A forward pre-hook: replaces the network's input by its transform."""

    transform: Transform
    backward: Backward

    def __call__(self, network: nn.Module, arguments: tuple[Tensor]) -> tuple[Tensor]:
        # The transform is computed in fp32 in every precision: only the network after it is in bf16.
        with torch.autocast(arguments[0].device.type, enabled=False):
            return (transformed(with_weights(self.transform, network), arguments[0], self.backward),)


def generator_of(transform: Transform) -> Generator | None:
    """The network of a transform's generator, without weights; None for a transform without one."""
    return getattr(transform, transform.generated_by) if hasattr(transform, "generated_by") else None


def with_weights(transform: Any, network: nn.Module) -> Deterministic | Stochastic:
    """The transform, by the generator inside the network if it needs one."""
    if generator_of(transform) is None:
        return transform
    return transform.learned(cast(Fixed, network.get_submodule(GENERATOR)).block)
