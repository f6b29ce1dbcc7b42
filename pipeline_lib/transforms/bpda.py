"""Backward pass differentiable approximation (BPDA; Athalye et al., 2018): a transform with another backward pass."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.draws import present_generators

Backward = Literal["bpda", "none"]


class Deterministic(Protocol):
    """Clips (N, C, T, H, W) or images (N, C, H, W) in [0, 1] to the same shape, range, float32 and device.

    differentiable: autograd is exact. Otherwise the gradient is an approximation, or zero.
    stochastic: it draws random numbers, see `Stochastic`.
    """

    differentiable: ClassVar[bool]
    stochastic: ClassVar[bool]

    def __call__(self, clips: Tensor) -> Tensor: ...


class Stochastic(Protocol):
    """The same with random numbers: one generator per clip, so that results do not depend on the batch."""

    differentiable: ClassVar[bool]
    stochastic: ClassVar[bool]

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor: ...


class Generative(Protocol):
    """A transform that needs a trained generator: a model of the configuration, which it names.

    generated_by: the name of the field with the generator's network, annotated as `Generator`.
    needs: what the generator must be, as `generates` of its network's class states.
    """

    differentiable: ClassVar[bool]
    stochastic: ClassVar[bool]
    generated_by: ClassVar[str]
    needs: ClassVar[str]

    def learned(self, generator: nn.Module) -> "Deterministic | Stochastic":
        """The transform by a generator with its trained weights."""


class Generator(Protocol):
    """The network of a generator. In a configuration, the name of the model that is trained: `generator: pixelcnn`."""

    generates: ClassVar[str]

    def __call__(self, classes: int) -> nn.Module: ...


Transform = Deterministic | Stochastic | Generative


def transformed(transform: Deterministic | Stochastic, clips: Tensor, backward: Backward = "bpda") -> Tensor:
    """The transform of clips, with the gradient for attacks.

    A differentiable transform is differentiated exactly. For any other, `bpda` returns the gradient unchanged,
    as if the transform were the identity, and `none` returns zero, as autograd does for rounding (masking).
    A stochastic transform draws from the generators of `drawing`.
    """
    function = _drawn(transform, len(clips))
    if not type(transform).__module__.startswith("pipeline_lib."):
        # A copy: a transform of a user's own may write into its argument, which attacks and training use again.
        clips = clips.clone()
    if transform.differentiable:
        output = function(clips)
    else:
        output = (StraightThrough if backward == "bpda" else _Zero).apply(clips, function)
    if output.shape != clips.shape:
        made = f"{type(transform).__name__} returns {tuple(output.shape)} for {tuple(clips.shape)}"
        raise PipelineError(f"transform {made}: it must keep the shape")
    return output


def _drawn(transform: Any, clips: int) -> Callable[[Tensor], Tensor]:
    """The transform as a function of clips alone, with present generators for as many clips if it draws."""
    if not transform.stochastic:
        return transform
    generators = present_generators(clips)
    return lambda given: transform(given, generators)


# Functions and not `clips + (function(clips) - clips).detach()`, whose sum is not exactly function(clips).
class StraightThrough(torch.autograd.Function):
    """apply(clips, function): the function forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, clips: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        return function(clips)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Zero(StraightThrough):
    """The function forward, zero backward."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.zeros_like(gradients[0]), None
