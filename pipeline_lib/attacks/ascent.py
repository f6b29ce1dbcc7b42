"""The attack loop: gradient ascent from a start, inside a perturbation set and a region."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.goals import Goal, Untargeted
from pipeline_lib.attacks.losses import in_bfloat16, loss_and_gradient
from pipeline_lib.attacks.norms import over_mean, per_clip
from pipeline_lib.attacks.perturbations import Perturbation
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.regions import AllPixels, Region, require_pixels
from pipeline_lib.attacks.search import SearchedRectangle
from pipeline_lib.attacks.starts import AtClean, Start
from pipeline_lib.entries.ranges import Count, NonNegative, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.precision import Precision, check_precision
from pipeline_lib.randomness.generators import require_one_each

# The size of a start in the unit of a bound. Classes by name: an attack depends only on the classes that it uses.
COMPARABLE = {
    ("UniformNoise", "AdditiveLinf"): "radius",
    ("UniformBox", "AdditiveL2"): "radius",
    ("LogUniform", "RatioLinf"): "ratio",
}


@method
class Ascent:
    """Projected gradient ascent (PGD) on a loss, inside a region. One step without a start is FGSM.

    steps: T of the papers; each costs one forward and one backward pass to the input. By default there are no others.
    goal: the caller makes the loss from it (`goals.loss_of`).
    restarts: ascents from new draws of start and region; each clip keeps the last iterate of largest loss. With more
        than one, each costs one forward pass more.
    keep: the `last` iterate (the papers), or each clip's `best`, of largest loss among all iterates and the start: one
        forward pass more per ascent.
    momentum: a step is along the sum of all gradients so far, each over its mean absolute value, in which earlier ones
        decay by this factor (MI-FGSM, Dong et al., CVPR 2018, with 1). With 0 it is along the last gradient.
    unmasked_first_gradient: compute the first gradient at the start over the whole clip (the authors' AF), not only in
        the region.
    precision: of the passes; clips, gradients and bounds are float32.
    perturbation: the bound, and the step inside it.
    region: the pixels that may change.
    start: the first iterate.
    """

    title: ClassVar[str] = "PGD ascent"
    passes: ClassVar[str] = "restarts * (steps + region.passes + (restarts > 1 or keep == 'best')) + 1"
    forwards: ClassVar[str] = "restarts * (region.forwards + (restarts > 1 or keep == 'best')) + 1"
    iterations: ClassVar[str] = "steps"
    begins_longer_runs: ClassVar[str] = "restarts == 1 and keep == 'last'"

    perturbation: Perturbation
    steps: Count
    region: Region = field(default_factory=AllPixels)
    start: Start = field(default_factory=AtClean)
    goal: Goal = field(default_factory=Untargeted)
    restarts: Count = 1
    keep: Literal["last", "best"] = "last"
    momentum: NonNegative = 0.0
    unmasked_first_gradient: bool = False
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if check_precision("precision", self.precision) == "tf32":
            raise PipelineError("precision is tf32: for all attacks of a run it is evaluation.precision")
        if getattr(self.perturbation, "all_pixels_only", False) and not isinstance(self.region, AllPixels):
            names = type(self.perturbation).__name__, type(self.region).__name__
            raise PipelineError(f"region is {names[1]}: {names[0]} bounds the whole clip, use it with all pixels")
        log_far_start(self.start, self.perturbation)

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, (N, C, T, H, W) or (N, C, H, W) in [0, 1], not quantized; pixels outside the region are
        unchanged.

        A clip with a loss or gradient that is not finite is returned as NaN: the sign of NaN is 0 in torch, so the
        clip would otherwise be counted as robust.

        loss: clips -> (N,); generators: one per clip. Run it inside `attacking(network)`.
        """
        require_one_each(generators, clips)
        loss = self._in_precision(loss)
        if self.restarts == 1 and self.keep == "last":
            return self._ascend(loss, clips, generators)
        best = BestIterate(clips)
        for _ in range(self.restarts):
            end = self._ascend(loss, clips, generators, best.offer if self.keep == "best" else None)
            with torch.no_grad():
                best.offer(end, loss(end))
        return best.clips

    def iterates(
        self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator], steps: Collection[int]
    ) -> Iterator[Tensor]:
        """What this attack gives with each of these numbers of steps, in increasing order, from one ascent.

        Of a single ascent that keeps the last iterate (`begins_longer_runs`).
        """
        require_one_each(generators, clips)
        return self._ends(steps, self._in_precision(loss), clips, generators)

    def _in_precision(self, loss: Loss) -> Loss:
        return in_bfloat16(loss) if self.precision == "bf16" else loss

    def _ascend(
        self,
        loss: Loss,
        clips: Tensor,
        generators: Sequence[torch.Generator],
        offer: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """The last iterate; `offer` is called with each earlier iterate and its losses (N,)."""
        (end,) = self._ends([self.steps], loss, clips, generators, offer)
        return end

    def _ends(
        self,
        steps: Collection[int],
        loss: Loss,
        clips: Tensor,
        generators: Sequence[torch.Generator],
        offer: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Iterator[Tensor]:
        """The iterates after these numbers of steps, in increasing order."""
        mask = self.place(loss, clips, generators)
        center = self.start.center(clips, mask)
        adversarial, point = self._start(clips, mask, generators)
        overflow = direction = torch.zeros((), device=clips.device)
        outside = self._is_outside(adversarial, clips) if offer else None
        for step in range(1, max(steps) + 1):
            losses, gradient = loss_and_gradient(loss, point)
            gradient = gradient * mask
            overflow = overflow + zero_or_nan(gradient) + per_clip(0 * losses, clips)
            if offer is not None and point is adversarial:
                offer(adversarial, losses if outside is None else losses.masked_fill(outside, -torch.inf))
            outside = None  # every step ends inside the bound
            direction = over_mean(gradient) + direction * self.momentum if self.momentum else gradient
            point = adversarial = self.advance(adversarial, direction, center, generators)
            if step in steps:
                yield torch.where(mask, adversarial + overflow, clips)

    def _start(self, clips: Tensor, mask: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """The first iterate, and the clips at which the first gradient is computed."""
        first = self.start.first(clips, generators).clamp(0, 1)
        adversarial = torch.where(mask, first, clips)
        return adversarial, first if self.unmasked_first_gradient else adversarial

    def _is_outside(self, start: Tensor, clips: Tensor) -> Tensor:
        """bool (N,): starts are not projected, so only their own radius keeps them inside the bound."""
        return self.ratio_to_bound(start, clips) > 1 + 1e-4

    def place(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """The region's mask: drawn or searched. Raises PipelineError for a region without pixels."""
        if isinstance(self.region, SearchedRectangle):
            return self.region.place(loss, clips, generators)
        mask = self.region.mask(clips, generators)
        require_pixels(self.region, mask, clips)
        return mask

    def advance(
        self, adversarial: Tensor, gradient: Tensor, center: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """One step along a gradient that is zero outside the region, then the projection onto the bound and the box."""
        moved = self.perturbation.step(adversarial, gradient, generators)
        return self.perturbation.project(moved, center).clamp(0, 1)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest clips inside the bound on the 8-bit lattice. Raises PipelineError for clips of NaN."""
        if adversarial.isnan().any():
            raise PipelineError("a gradient of the attack is not finite: the network or its loss overflows")
        return self.perturbation.quantize(adversarial, self.start.center(clean, adversarial != clean))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): size of each clip's change divided by the bound; at most 1 inside, up to float32 rounding (about 1e-5).

        Infinite where the changed pixels do not fit into the region.
        """
        changed = adversarial != clean
        ratio = self.perturbation.ratio_to_bound(adversarial, self.start.center(clean, changed))
        return torch.where(self.region.admits(changed.any(1, keepdim=True)), ratio, torch.inf)


class BestIterate:
    """For each clean clip, the iterate of largest loss among those offered. A clip of NaN is never replaced."""

    def __init__(self, clips: Tensor) -> None:
        self.clips = clips
        self.losses = torch.full((len(clips),), -torch.inf, device=clips.device)

    def offer(self, clips: Tensor, losses: Tensor) -> None:
        losses = losses + zero_or_nan(clips).flatten()
        better = (losses > self.losses) | losses.isnan()
        self.clips = torch.where(per_clip(better, clips), clips, self.clips)
        self.losses = torch.maximum(losses, self.losses)


def log_far_start(start: Any, perturbation: Any) -> None:
    """A line in the log: the first gradient is then computed outside of the bound."""
    size = COMPARABLE.get((type(start).__name__, type(perturbation).__name__))
    if size is not None and getattr(start, size) > perturbation.epsilon:
        given = getattr(start, size), perturbation.epsilon
        LOGGER.info("the start's %s %.4g is larger than epsilon %.4g: it is outside of the bound", size, *given)


def zero_or_nan(gradient: Tensor) -> Tensor:
    """(N, 1, ..., 1): NaN for the clips whose gradient is not finite. It needs no synchronization with the device."""
    return per_clip(0 * gradient.flatten(1).sum(1), gradient)
