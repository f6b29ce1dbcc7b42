"""Translation-invariant attacks (TI; Dong et al., CVPR 2019): gradients smoothed over the picture, for transfer."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.around import Around
from pipeline_lib.attacks.kernels import Weights, kernel

# In a field of this name, the configuration accepts an attack's name as well as its entry.
from pipeline_lib.attacks.protocols import LatticeAttack as Attack
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Odd, method
from pipeline_lib.errors import PipelineError


@method
class TranslationInvariant(Around):
    """`attack` with each gradient convolved with a kernel, frame by frame and channel by channel (their Eq. 8).

    The convolution approximates the mean gradient over translated pictures. It costs no pass. Outside of a frame the
    gradient is 0. An attack's region and momentum apply to the smoothed gradient.

    attack: the one whose gradients are smoothed.
    size: of the kernel in pixels; at most that of a frame.
    weights: of the translations: `gaussian`, with a deviation of a sixth of `size` - 1, `linear` or `uniform`.
    """

    title: ClassVar[str] = "translation-invariant (TI)"
    wraps: ClassVar[str] = "attack"
    passes: ClassVar[str] = "attack.passes"
    forwards: ClassVar[str] = "attack.forwards"
    at_least_pixels: ClassVar[str] = "size"

    attack: Attack
    size: Odd = 15
    weights: Weights = "gaussian"

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """As of the attack inside. Raises PipelineError for frames smaller than the kernel."""
        if self.size > min(clips.shape[-2:]):
            height, width = clips.shape[-2:]
            raise PipelineError(f"size is {self.size}: the kernel is larger than frames of {height} x {width}")
        line = kernel(self.weights, self.size // 2)
        plane = torch.outer(line, line).to(clips)
        return self.attack(with_smoothed_gradient(loss, plane), clips, generators)


def with_smoothed_gradient(loss: Loss, plane: Tensor) -> Loss:
    """The same loss, whose gradient is convolved with `plane` (K, K) in each frame and channel."""

    def smoothed(clips: Tensor) -> Tensor:
        return loss(_SmoothedGradient.apply(clips, plane))

    return smoothed


class _SmoothedGradient(torch.autograd.Function):
    """The identity, with a smoothed gradient."""

    @staticmethod
    def forward(ctx: Any, clips: Tensor, plane: Tensor) -> Tensor:
        ctx.save_for_backward(plane)
        return clips.view_as(clips)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (plane,) = ctx.saved_tensors
        frames = gradient.reshape(-1, 1, *gradient.shape[-2:])
        smooth = F.conv2d(frames, plane[None, None].to(frames), padding=len(plane) // 2)
        return smooth.view_as(gradient), None
