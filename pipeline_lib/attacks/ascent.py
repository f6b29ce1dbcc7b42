"""The one attack loop: a perturbation set, a region and a start, climbed by the sign or direction of the gradient."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline_lib.attacks.balls import per_clip
from pipeline_lib.attacks.losses import Loss
from pipeline_lib.attacks.perturbations import Perturbation
from pipeline_lib.attacks.regions import AllPixels, Region
from pipeline_lib.attacks.starts import AtClean, Start
from pipeline_lib.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Projected gradient ascent (PGD) on a loss, inside a region.

    steps: T of the papers; each costs one forward and one backward pass to the input, nothing else does.
    """

    perturbation: Perturbation
    steps: int
    region: Region = field(default_factory=AllPixels)
    start: Start = field(default_factory=AtClean)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise PipelineError(f"steps is {self.steps}: an attack takes at least one")

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, (N, C, T, H, W) or (N, C, H, W) in [0, 1], not quantized; pixels outside the region are
        untouched.

        A clip with a gradient that is not finite comes back as NaN: the sign of NaN is 0 in torch, so that it would
        otherwise look like a clip that withstands the attack.

        loss: clips -> (N,); generators: one per clip. Run it inside `attacking(network)`.
        """
        require_one_each(generators, clips)
        mask = self.region.mask(clips, generators)
        center = self.start.center(clips, mask)
        adversarial = torch.where(mask, self.start.first(clips, generators).clamp(0, 1), clips)
        overflow = torch.zeros((), device=clips.device)
        for _ in range(self.steps):
            gradient = input_gradient(loss, adversarial) * mask
            overflow = overflow + zero_or_nan(gradient)
            adversarial = self.advance(adversarial, gradient, center, generators)
        return torch.where(mask, adversarial + overflow, clips)

    def advance(
        self, adversarial: Tensor, gradient: Tensor, center: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """One step along a gradient that is zero outside the region, then back into the bound and the box."""
        moved = self.perturbation.step(adversarial, gradient, generators)
        return self.perturbation.project(moved, center).clamp(0, 1)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest clips inside the bound on the 8-bit lattice. Raises PipelineError for clips of NaN."""
        if adversarial.isnan().any():
            raise PipelineError("the attack met a gradient that is not finite: the network or its loss overflows")
        return self.perturbation.quantize(adversarial, self.start.center(clean, adversarial != clean))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): how much of the bound each clip uses; at most 1 inside, up to float32 rounding (about 1e-5).

        Infinite where more pixels changed than the region has.
        """
        changed = adversarial != clean
        ratio = self.perturbation.ratio_to_bound(adversarial, self.start.center(clean, changed))
        return torch.where(self.region.admits(changed.any(1, keepdim=True)), ratio, torch.inf)


def require_one_each(generators: Sequence[torch.Generator], clips: Tensor) -> None:
    if len(generators) != len(clips):
        raise ValueError(f"{len(generators)} generators for {len(clips)} clips: give one for each")


def input_gradient(loss: Loss, clips: Tensor) -> Tensor:
    """Gradient of each clip's loss to the clip, shaped as the clips."""
    with torch.enable_grad():
        leaf = clips.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf).sum(), leaf)
    return gradient


def zero_or_nan(gradient: Tensor) -> Tensor:
    """(N, 1, ..., 1): NaN for the clips whose gradient is not finite. No device has to wait for the answer."""
    return per_clip(0 * gradient.flatten(1).sum(1), gradient)
