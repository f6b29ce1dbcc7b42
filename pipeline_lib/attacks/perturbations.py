"""Perturbation sets: the step of an attack and its bound. The box [0, 1] is applied by the attack.

`clean` is the center of the bound, (N, C, T, H, W) or (N, C, H, W) in [0, 1], on the 8-bit lattice (multiples of
1/255).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from pipeline_lib.attacks.adaptive_steps import AdaptiveSteps, Checkpoints, additive_mix, ratio_mix, sign_move
from pipeline_lib.attacks.norms import TOLERANCE
from pipeline_lib.entries.ranges import AboveOne, PixelChange, method
from pipeline_lib.jobs.logs import LOGGER

# Start value of a pixel at 0 under `zeros: floor`: the darkest gray level above 0.
DARKEST = 1 / 255

Zeros = Literal["keep", "floor"]


class Perturbation(Protocol):
    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """One step of steepest ascent; the gradient is zero where the clips may not change. One generator per clip."""

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        """The nearest clips inside the bound."""

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): 0 at the clean clip, at most 1 inside the bound, up to float32 rounding (about 1e-5)."""

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest clips inside the bound that are multiples of 1/255."""


@method
class AdditiveLinf:
    """|x_adv - x| <= epsilon for every pixel; both fields on the [0, 1] scale (PGD, Madry et al. 2018).

    epsilon: largest change of a pixel.
    step_size: change of a pixel in one step.
    """

    epsilon: PixelChange
    step_size: PixelChange

    def __post_init__(self) -> None:
        log_large_steps(self.epsilon, self.step_size)

    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.add(clips, gradient.sign(), alpha=self.step_size)

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        # The order of torchattacks and advertorch, for bit-identical clips.
        return (clips - clean).clamp_(-self.epsilon, self.epsilon).add_(clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return (adversarial - clean).abs().flatten(1).amax(1) / self.epsilon

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return nearest_level(adversarial, clean - self.epsilon, clean + self.epsilon)

    def adaptive_steps(self, center: Tensor, steps: int) -> AdaptiveSteps:
        """The steps of APGD, on the scale of the clips."""
        project = partial(in_box, self, center)
        return Checkpoints(center, steps, self.epsilon, sign_move, additive_mix, project)


@method
class RatioLinf:
    """max(x_adv / x, x / x_adv) <= epsilon for every pixel (MultAV, Eq. 3). Both fields are ratios > 1.

    zeros: a pixel at 0 has no ratio. It is kept at 0, or grows from 1/255, which is then the
    center of its bound (floor).
    epsilon: largest ratio of a pixel.
    step_size: ratio of a pixel in one step.
    """

    epsilon: AboveOne
    step_size: AboveOne
    zeros: Literal["keep", "floor"] = "keep"

    def __post_init__(self) -> None:
        log_large_steps(self.epsilon, self.step_size)

    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        # step_size ** sign(gradient), four times faster on a CPU
        return growing(clips, gradient, self.zeros) * (math.log(self.step_size) * gradient.sign()).exp()

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        return clips.clamp(clean / self.epsilon, lifted(clean, self.zeros) * self.epsilon)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """On a logarithmic scale; infinite where a pixel has moved from or to 0, which the attack cannot do."""
        ratio = adversarial / lifted(clean, self.zeros)
        if self.zeros == "floor":
            # A pixel between 0 and 1/255, the center of its bound, counts as unchanged.
            ratio = torch.where(clean == 0, ratio.clamp_min(1), ratio)
        used = torch.where(adversarial == clean, 0, ratio.log().abs())
        return used.flatten(1).amax(1) / math.log(self.epsilon)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return nearest_level(adversarial, clean / self.epsilon, lifted(clean, self.zeros) * self.epsilon)

    def adaptive_steps(self, center: Tensor, steps: int) -> AdaptiveSteps:
        """The steps of APGD, on a logarithmic scale."""
        project = partial(in_box, self, center)
        return Checkpoints(center, steps, math.log(self.epsilon), self._move, ratio_mix, project)

    def _move(self, clips: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
        return growing(clips, gradient, self.zeros) * (length * gradient.sign()).exp()


def in_box(perturbation: Perturbation, center: Tensor, clips: Tensor) -> Tensor:
    """The clips inside the bound around the center, and in [0, 1]."""
    return perturbation.project(clips, center).clamp_(0, 1)


def lifted(clean: Tensor, zeros: Zeros) -> Tensor:
    """The center of ratio bounds: the clean clips, under `floor` with 1/255 in place of 0."""
    return clean if zeros == "keep" else torch.where(clean == 0, DARKEST, clean)


def growing(clips: Tensor, gradient: Tensor, zeros: Zeros) -> Tensor:
    """The clips; under `floor` with 1/255 in place of the zeros that a step along the gradient increases."""
    return clips if zeros == "keep" else torch.where((clips == 0) & (gradient > 0), DARKEST, clips)


def nearest_level(clips: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The nearest multiples of 1/255 in [low, high] and in [0, 1]."""
    low = (low * 255 - TOLERANCE).ceil()
    high = (high * 255 + TOLERANCE).floor()
    return (clips * 255).round().clamp(low, high).clamp(0, 255) / 255


def on_lattice(clips: Tensor) -> Tensor:
    """The nearest multiples of 1/255 in [0, 1], of attacks without a bound on pixels."""
    return nearest_level(clips, torch.zeros_like(clips), torch.ones_like(clips))


def log_large_steps(epsilon: float, length: float) -> None:
    """A line in the log: such steps are allowed, and projected onto the bound (the draft's PGD)."""
    if length > epsilon:
        LOGGER.info("a step of %.4g is larger than epsilon %.4g: each step ends on the bound", length, epsilon)
