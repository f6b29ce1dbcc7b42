"""Auto-PGD (Croce and Hein, ICML 2020): ascent with adaptive step sizes, inside the set of another attack."""

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import ClassVar, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from pipeline_lib.attacks.adaptive_steps import AdaptiveSteps
from pipeline_lib.attacks.ascent import Ascent, zero_or_nan
from pipeline_lib.attacks.goal_loss import GoalLoss
from pipeline_lib.attacks.goals import Goal
from pipeline_lib.attacks.losses import in_bfloat16, loss_and_gradient
from pipeline_lib.attacks.margins import LogOdds
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.starts import Start
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.precision import Precision, check_precision
from pipeline_lib.randomness.generators import require_one_each

# In a field of this name, the configuration accepts the names of attacks as well as their entries.
Attack = Ascent


@runtime_checkable
class Adaptive(Protocol):
    """A perturbation set that APGD can move in."""

    def adaptive_steps(self, center: Tensor, steps: int) -> AdaptiveSteps: ...


@method
class Apgd:
    """Gradient ascent with momentum and step sizes by the rule of APGD. The result is each clip's iterate of largest
    loss, among those that fool the network if there are any.

    inside: the attack whose bound, region and start are used. Its step size, steps and goal are not used: a paper's
        steps may be too large or too few for the bound.
    steps: each costs one forward and one backward pass to the input; the last iterate costs one forward pass more.
    start: used instead of that attack's start; the center of the bound does not change.
    goal: the caller makes the loss from it; by default cross-entropy in the form that does not saturate.
    restarts: ascents from new draws of start and region; each clip keeps the best iterate of all.
    precision: of the passes; clips, gradients and bounds are float32.
    """

    passes: ClassVar[str] = "restarts * (steps + 1 + inside.region.passes) + 1"
    forwards: ClassVar[str] = "restarts * inside.region.forwards + 1"
    bounded_by: ClassVar[str] = "inside"
    supports: ClassVar[tuple[str, ...]] = ("inside.perturbation = pipeline_lib.attacks.apgd:Adaptive",)

    inside: Attack
    steps: Count = 20
    start: Start | None = None
    goal: Goal = field(default_factory=LogOdds)
    restarts: Count = 1
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if check_precision("precision", self.precision) == "tf32":
            raise PipelineError("precision is tf32: for all attacks of a run it is evaluation.precision")
        if not isinstance(self.inside, Ascent):
            raise PipelineError(f"inside is a {type(self.inside).__name__}: apgd needs an attack of method ascent")
        if not isinstance(self.inside.perturbation, Adaptive):
            name = type(self.inside.perturbation).__name__
            raise PipelineError(f"inside.perturbation is {name}: it has no adaptive_steps, which apgd needs")

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, (N, C, T, H, W) or (N, C, H, W) in [0, 1], not quantized; pixels outside the region are
        unchanged. A clip with a loss or gradient that is not finite is returned as NaN, as from `Ascent`.

        loss: clips -> (N,); generators: one per clip. Run it inside `attacking(network)`.
        """
        require_one_each(generators, clips)
        fooled = loss.fooled if isinstance(loss, GoalLoss) else no_labels
        found = MostWrong(clips)
        for _ in range(self.restarts):
            self._ascend(in_bfloat16(loss) if self.precision == "bf16" else loss, fooled, found, clips, generators)
        return found.clips + found.overflow

    def _ascend(
        self,
        loss: Loss,
        fooled: Callable[[], Tensor | None],
        found: "MostWrong",
        clips: Tensor,
        generators: Sequence[torch.Generator],
    ) -> None:
        """Offers every iterate to `found`; `fooled` returns which clips of the last iterate fool the network."""
        mask = self.inside.place(loss, clips, generators)
        perturbation = cast(Adaptive, self.inside.perturbation)
        adaptive = perturbation.adaptive_steps(self.inside.start.center(clips, mask), self.steps)
        first = (self.start or self.inside.start).first(clips, generators).clamp(0, 1)
        here = before = torch.where(mask, adaptive.project(first), clips)
        best, inside = BestPoint(clips), mask.to(clips)
        for _ in range(self.steps):
            losses, gradient = loss_and_gradient(loss, here)
            found.offer(here, losses + zero_or_nan(gradient).flatten(), fooled())
            gradient = gradient * inside if inside.dim() else gradient
            here, gradient = best.offered(here, losses, gradient, adaptive)
            before, here = here, adaptive.advance(here, before, gradient)
        here = torch.where(mask, here, clips)
        with torch.no_grad():
            found.offer(here, loss(here), fooled())

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the attack whose set it is."""
        return self.inside.quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the attack whose set it is."""
        return self.inside.ratio_to_bound(adversarial, clean)


class BestPoint:
    """Each clip's iterate of largest loss so far, with its gradient; of equal ones the first."""

    def __init__(self, clips: Tensor) -> None:
        self.clips, self.gradient = clips.clone(), torch.zeros_like(clips)
        self.losses = torch.full((len(clips),), -torch.inf, device=clips.device)

    def offered(
        self, clips: Tensor, losses: Tensor, gradient: Tensor, adaptive: AdaptiveSteps
    ) -> tuple[Tensor, Tensor]:
        """Clips and gradients to continue from: the current ones, or the best ones where the rule resets to them."""
        better = losses > self.losses
        self.losses = torch.where(better, losses, self.losses)
        keep(self.clips, clips, better)
        keep(self.gradient, gradient, better)
        back = adaptive.observe(losses, self.losses, self.clips)
        if back is None:
            return clips, gradient
        back = per_clip(back, clips)
        return torch.where(back, self.clips, clips), torch.where(back, self.gradient, gradient)


class MostWrong:
    """Each clip's iterate of largest loss, among those that fool the network if any is known to.

    overflow: (N, 1, ..., 1), NaN for clips with a loss that is not finite, and 0 for the others.
    """

    def __init__(self, clips: Tensor) -> None:
        self.clips = clips.clone()
        self.losses = torch.full((len(clips),), -torch.inf, device=clips.device)
        self.fooled = torch.zeros(len(clips), dtype=torch.bool, device=clips.device)
        self.overflow = torch.zeros((), device=clips.device)

    def offer(self, clips: Tensor, losses: Tensor, fooled: Tensor | None) -> None:
        fooled = torch.zeros_like(self.fooled) if fooled is None else fooled
        better = torch.where(fooled == self.fooled, losses > self.losses, fooled)
        self.overflow = self.overflow + per_clip(0 * losses, clips)
        keep(self.clips, clips, better)
        self.losses = torch.where(better, losses, self.losses)
        self.fooled = self.fooled | fooled


def keep(best: Tensor, clips: Tensor, better: Tensor) -> None:
    """Overwrites the best clips by those that are better, bool (N,), without memory of its own."""
    torch.where(per_clip(better, clips), clips, best, out=best)


def no_labels() -> None:
    """In place of `GoalLoss.fooled`, for other losses: it is unknown which clips fool the network."""
