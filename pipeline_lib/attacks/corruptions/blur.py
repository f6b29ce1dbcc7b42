"""Blurs of every frame (Hendrycks and Dietterich, ICLR 2019): out of focus, moving camera, zoom during the exposure."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.resampling import coordinates, sampled
from pipeline_lib.entries.ranges import Severity, method
from pipeline_lib.pictures import as_clips, as_pictures, per_picture
from pipeline_lib.randomness.generators import require_one_each

# By severity, for frames of 224 pixels: radius of the disk; length of the path in pixels; largest zoom.
LEVELS = {"defocus": (3, 4, 6, 8, 10), "motion": (10, 15, 15, 15, 20), "zoom": (1.11, 1.16, 1.21, 1.26, 1.33)}
REFERENCE = 224  # radius and path scale with the frame's shorter side
SMALLEST = {"defocus": 1.0, "motion": 3.0}  # pixels
ZOOMS = 11  # frames of the mean


@method
class BlurCorruption:
    """`defocus`: the mean over a disk; `motion`: over a line in a drawn direction; `zoom`: over several zooms.

    Radius and length are Hendrycks and Dietterich's for 224 pixels, in proportion to the shorter side, at least 1 and 3
    pixels.

    kind: of the blur.
    severity: 1 to 5.
    """

    kind: Literal["defocus", "motion", "zoom"]
    severity: Severity = 3

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        require_one_each(generators, clips)
        level, frames = LEVELS[self.kind][self.severity - 1], as_pictures(clips)
        if self.kind == "zoom":
            return as_clips(zoomed(frames, level), clips)
        size = max(SMALLEST[self.kind], level * min(clips.shape[-2:]) / REFERENCE)
        kernels = [disk(size) if self.kind == "defocus" else path(size, g) for g in generators]
        return as_clips(blurred(frames, per_picture(torch.stack(kernels).to(clips), clips)), clips)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)


def disk(radius: float) -> Tensor:
    """(K, K), sum 1: a disk with a smooth edge of a pixel."""
    reach = math.ceil(radius)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    distance = (axis[:, None] ** 2 + axis**2).sqrt()
    kernel = (radius + 0.5 - distance).clamp(0, 1)
    return kernel / kernel.sum()


def path(length: float, generator: torch.Generator) -> Tensor:
    """(K, K), sum 1: a line of this length in a direction drawn from -45 to 45 degrees."""
    angle = (2 * float(torch.rand((), generator=generator)) - 1) * math.pi / 4
    reach = math.ceil(length / 2)
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1)
    for step in torch.linspace(-length / 2, length / 2, 4 * reach + 1).tolist():
        kernel[reach + round(step * math.sin(angle)), reach + round(step * math.cos(angle))] += 1
    return kernel / kernel.sum()


def blurred(frames: Tensor, kernels: Tensor) -> Tensor:
    """Frames (N, C, H, W), each with its kernel (N, K, K); the edge's pixels are repeated outside of the frame."""
    count, channels, reach = *frames.shape[:2], kernels.shape[-1] // 2
    padded = F.pad(frames, [reach] * 4, mode="replicate").flatten(0, 1)[None]
    weights = kernels.repeat_interleave(channels, 0)[:, None]
    return F.conv2d(padded, weights, groups=count * channels)[0].unflatten(0, (count, channels)).clamp(0, 1)


def zoomed(frames: Tensor, largest: float) -> Tensor:
    """The mean of the frame and of its center at zooms up to `largest`."""
    total = torch.zeros_like(frames)
    rows, columns = coordinates(frames.shape[-2:], frames)
    middle = [(pixels - 1) / 2 for pixels in frames.shape[-2:]]
    for zoom in torch.linspace(1, largest, ZOOMS).tolist():
        row = ((rows - middle[0]) / zoom + middle[0]).expand(len(frames), *frames.shape[-2:])
        column = ((columns - middle[1]) / zoom + middle[1]).expand_as(row)
        total += sampled(frames, row, column, "edge")
    return (total / ZOOMS).clamp(0, 1)
