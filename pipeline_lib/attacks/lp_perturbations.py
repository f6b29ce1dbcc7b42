"""Perturbations bounded in the l2 or l1 norm of the change, not in its largest element."""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.adaptive_steps import AdaptiveSteps, Checkpoints, SparseSteps, additive_mix
from pipeline_lib.attacks.norms import l2_norm, levels_inside, of_clip, onto_l1_ball, onto_l2_ball, unit
from pipeline_lib.attacks.perturbations import DARKEST, growing, in_box, lifted, log_large_steps
from pipeline_lib.entries.ranges import AboveOne, Count, NonNegative, Positive, method
from pipeline_lib.errors import PipelineError

# Between these norms, squares of a gradient's elements neither underflow nor overflow in float32.
EXACT_FROM, EXACT_TO = 1e-6, 1e18


def direction(gradient: Tensor, smallest: float) -> Tensor:
    """g / max(||g||_2, smallest), each clip's norm over all its elements; 0 for a zero gradient."""
    norm = l2_norm(gradient, of_clip(gradient))
    if smallest:
        return gradient / norm.clamp_min(smallest)
    # The plain quotient where it is exact, so that these results are bit-identical to it.
    plain = (norm >= EXACT_FROM) & (norm <= EXACT_TO)
    return torch.where(plain, gradient / norm, unit(gradient, of_clip(gradient)))


@method
class AdditiveL2:
    """||x_adv - x||_2 <= epsilon over all elements of a clip; both fields on the [0, 1] scale (PGD-L2).

    step_size: length of a step along the gradient.
    smallest_norm: lower limit of the divisor of gradients. The authors' 1e-6 shortens steps on small gradients of a
        confident network, which then seems robust; 0 is exact.
    epsilon: l2 length of the change of a clip.
    """

    no_bound_if: ClassVar[str] = "epsilon > elements ** 0.5"
    epsilon: Positive
    step_size: Positive
    smallest_norm: NonNegative = 0.0

    def __post_init__(self) -> None:
        log_large_steps(self.epsilon, self.step_size)

    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return clips + self.step_size * direction(gradient, self.smallest_norm)

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        # The box before the ball, in the authors' order: the ball then scales the clipped change.
        return clean + onto_l2_ball(clips.clamp(0, 1) - clean, self.epsilon, of_clip(clips))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return l2_norm(adversarial - clean, of_clip(clean)).flatten() / self.epsilon

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        one, limit = torch.ones_like(clean), (255 * self.epsilon) ** 2
        return levels_inside(adversarial, clean, one, power=2, limit=limit, dims=of_clip(clean))

    def adaptive_steps(self, center: Tensor, steps: int) -> AdaptiveSteps:
        """What APGD moves by."""

        def move(clips: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
            return clips + length * unit(gradient, of_clip(clips))

        return Checkpoints(center, steps, self.epsilon, move, additive_mix, partial(in_box, self, center))


@method
class RatioL2:
    """||x_adv / x - 1||_2 <= epsilon (MultAV).

    step_size: base of the power of the normalized gradient, above 1; its norm is over the clip.
    per: the bound's norm is over a clip, each of its frames, or each channel of each frame.
    zeros: a pixel at 0 has no ratio. It is kept at 0, or grows from 1/255, and its change is in units of 1/255 (floor).
    smallest_norm: as in `AdditiveL2`.
    epsilon: l2 length of the ratios minus 1.
    """

    epsilon: Positive
    step_size: AboveOne
    per: Literal["clip", "frame", "channel"] = "clip"
    zeros: Literal["keep", "floor"] = "keep"
    smallest_norm: NonNegative = 0.0

    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        moved = growing(clips, gradient, self.zeros)
        return ratio_step(moved, gradient, self.step_size, self.smallest_norm)

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        base = lifted(clean, self.zeros)
        change = torch.where(base > 0, self._change(clips, clean), 0)
        return clean + base * onto_l2_ball(change, self.epsilon, norm_dims(clips, self.per))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """Infinite where a pixel that must be kept at 0 has changed."""
        change = torch.where(adversarial == clean, 0, self._change(adversarial, clean))
        return l2_norm(change, norm_dims(clean, self.per)).flatten(1).amax(1) / self.epsilon

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        # In gray levels, the change of a ratio is the level's change divided by the clean level.
        base = lifted(clean, self.zeros)
        weight = torch.where(base > 0, (255 * base.double()) ** -2, 0)
        lit, limit = torch.where(base > 0, adversarial, 0), self.epsilon**2
        return levels_inside(lit, clean, weight, power=2, limit=limit, dims=norm_dims(clean, self.per))

    def adaptive_steps(self, center: Tensor, steps: int) -> AdaptiveSteps:
        """The steps of APGD: steepest ascent in the ratios, in each group of elements that has a bound."""
        base, dims = lifted(center, self.zeros), norm_dims(center, self.per)

        def move(clips: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
            return clips + length * base * unit(base * gradient, dims)

        return Checkpoints(center, steps, self.epsilon, move, additive_mix, partial(in_box, self, center))

    def _change(self, clips: Tensor, clean: Tensor) -> Tensor:
        change = clips / clean - 1
        return change if self.zeros == "keep" else torch.where(clean > 0, change, clips / DARKEST)


@method
class PrintedRatioL2:
    """||x_adv / x||_2 <= epsilon + 1, as MultAV prints it. Steps and fields are those of RatioL2.

    At the paper's epsilon of 160 the ratio 1 of the clean clip itself, of norm 1227, is outside: each projection
    scales the whole clip down, to a bit more than an eighth. For all pixels only. Pixels at 0 are excluded.

    epsilon: l2 length of the ratios, minus 1.
    step_size, per, smallest_norm: as in `RatioL2`.
    """

    all_pixels_only: ClassVar[bool] = True
    epsilon: Positive
    step_size: AboveOne
    per: Literal["clip", "frame", "channel"] = "clip"
    smallest_norm: NonNegative = 0.0

    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return ratio_step(clips, gradient, self.step_size, self.smallest_norm)

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        ratio = torch.where(clean > 0, clips / clean, 0)
        return clean * onto_l2_ball(ratio, self.epsilon + 1, norm_dims(clips, self.per))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """Not 0 at the clean clip, and above 1 where the bound excludes it; infinite where a pixel at 0 has changed."""
        ratio = torch.where(adversarial == 0, 0, adversarial / clean)
        return l2_norm(ratio, norm_dims(clean, self.per)).flatten(1).amax(1) / (self.epsilon + 1)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        weight = torch.where(clean > 0, (255 * clean.double()) ** -2, 0)
        lit, limit = torch.where(clean > 0, adversarial, 0), (self.epsilon + 1) ** 2
        black, dims = torch.zeros_like(clean), norm_dims(clean, self.per)
        return levels_inside(lit, black, weight, power=2, limit=limit, dims=dims)


def ratio_step(clips: Tensor, gradient: Tensor, step_size: float, smallest: float) -> Tensor:
    """step_size ** (g / ||g||_2) times the clips (MultAV's l2 step)."""
    return clips * (math.log(step_size) * direction(gradient, smallest)).exp()


def norm_dims(clips: Tensor, per: Literal["clip", "frame", "channel"]) -> tuple[int, ...]:
    """The dimensions of a clip, of one frame, or of one channel of a frame, in (N, C, T, H, W) or (N, C, H, W)."""
    height, width = clips.dim() - 2, clips.dim() - 1
    return {"clip": of_clip(clips), "frame": (1, height, width), "channel": (height, width)}[per]


@method
class AdditiveL1:
    """||x_adv - x||_1 <= epsilon over all elements of a clip; epsilon and step_size on the [0, 1] scale.

    A step changes the k elements of largest gradient that allow it in the box, by its sign. In each step, k is drawn
    per clip from `fewest` to `most`; the step on an element is step_size * most / k, so that its length is the same
    for all k (Maini et al., 2020). Their code also never moves an element at 0 or 1; here it may move inwards.

    epsilon: l1 length of the change of a clip; step_size: of one element if k is `most`; fewest, most: limits of k.
    """

    no_bound_if: ClassVar[str] = "epsilon > elements"
    epsilon: Positive
    step_size: Positive
    fewest: Count = 5
    most: Count = 20

    def __post_init__(self) -> None:
        if self.fewest > self.most:
            raise PipelineError(f"fewest and most are {self.fewest} and {self.most}: give 1 <= fewest <= most")
        log_large_steps(self.epsilon, self.step_size * self.most)

    def step(self, clips: Tensor, gradient: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        count = self._counts(generators).to(clips.device)
        length = self.step_size * self.most / count[:, None]
        here, slope = clips.flatten(1), gradient.flatten(1)
        room = torch.where(slope > 0, 1 - here, here) > length
        largest = (slope.abs() * room).topk(min(self.most, slope.shape[1]), dim=1).indices
        chosen = torch.arange(largest.shape[1], device=clips.device) < count[:, None]
        change = length * chosen * (slope * room).gather(1, largest).sign()
        return here.scatter_add(1, largest, change.to(here)).view_as(clips)

    def _counts(self, generators: Sequence[torch.Generator]) -> Tensor:
        """(N,): k of each clip."""
        draws = [torch.randint(self.fewest, self.most + 1, (), generator=g) for g in generators]
        return torch.stack(draws)

    def project(self, clips: Tensor, clean: Tensor) -> Tensor:
        return clean + onto_l1_ball(clips - clean, self.epsilon)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return (adversarial - clean).abs().flatten(1).sum(1) / self.epsilon

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        one, limit = torch.ones_like(clean), 255 * self.epsilon
        return levels_inside(adversarial, clean, one, power=1, limit=limit, dims=of_clip(clean))

    def adaptive_steps(self, center: Tensor, steps: int) -> AdaptiveSteps:
        """What APGD moves by."""
        return SparseSteps(center, steps, self.epsilon)
