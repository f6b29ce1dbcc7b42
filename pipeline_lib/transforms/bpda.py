"""Backward pass differentiable approximation (BPDA; Athalye et al., 2018): a transform with another backward pass."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.draws import present_generators

Backward = Literal["bpda", "none"]
# Below half a gray level.
ROUNDING = 1e-3


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
    function, own = _drawn(transform, len(clips)), not type(transform).__module__.startswith("pipeline_lib.")
    if own:
        least, most = _range_of(clips)
        # A copy: a transform of a user's own may write into its argument, which attacks and training use again.
        clips = clips.clone()
    if transform.differentiable:
        output = function(clips)
    else:
        output = (StraightThrough if backward == "bpda" else _Zero).apply(clips, function)
    if output.shape != clips.shape:
        made = f"{type(transform).__name__} returns {tuple(output.shape)} for {tuple(clips.shape)}"
        raise PipelineError(f"transform {made}: it must keep the shape")
    if own:
        # Only of these: looking at the values waits for the device. The start of an attack may be outside [0, 1].
        _require_range(type(transform).__name__, output, min(least, 0.0), max(most, 1.0))
    return output


def _require_range(name: str, output: Tensor, least: float, most: float) -> None:
    """Raises PipelineError for a transform's output outside [least, most]."""
    low, high = _range_of(output)
    if low < least - ROUNDING or high > most + ROUNDING:
        raise PipelineError(
            f"transform {name} returns values from {low:.4g} to {high:.4g}: it must keep clips in [0, 1]; clamp them"
        )


def _range_of(clips: Tensor) -> tuple[float, float]:
    """The smallest and the largest value."""
    low, high = clips.detach().aminmax()
    return float(low), float(high)


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
