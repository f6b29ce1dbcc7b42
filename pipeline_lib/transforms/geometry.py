"""Transforms that move pixels; the same for all frames and channels of a clip, differentiated exactly."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.entries.ranges import Positive, PositiveFraction, method
from pipeline_lib.transforms.layout import without_rounding


@method
class Swirl:
    """Rotation around the center by strength * exp(-5 / ln 2 * distance / radius), bilinear.

    The map of scikit-image's `swirl`. strength: angle at the center in radians; radius: distance at which 1/1000 of it
    remains, in units of half the shorter side. Pixels from outside repeat the border. The defaults are our choice.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    strength: float = 1.0
    radius: Positive = 2.0

    def __call__(self, clips: Tensor) -> Tensor:
        height, width = clips.shape[-2:]
        rows = torch.arange(height, device=clips.device)[:, None] - (height - 1) / 2
        columns = torch.arange(width, device=clips.device) - (width - 1) / 2
        decay = 5 / math.log(2) / (self.radius * min(height, width) / 2)
        distance = torch.hypot(rows, columns)
        angle = torch.atan2(rows, columns) + self.strength * (-decay * distance).exp()
        places = distance * angle.sin() + (height - 1) / 2, distance * angle.cos() + (width - 1) / 2
        return without_rounding(sampled(clips, *places))


def sampled(clips: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Every frame (..., H, W) at the positions (H, W), in pixels, bilinear; outside it repeats its border.

    By indices, not `grid_sample`, whose gradient has no deterministic form on a GPU.
    """
    height, width = clips.shape[-2:]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    top, left = rows.floor().long(), columns.floor().long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, across = rows - top, columns - left
    above = clips[..., top, left] * (1 - across) + clips[..., top, right] * across
    below = clips[..., bottom, left] * (1 - across) + clips[..., bottom, right] * across
    return above * (1 - down) + below * down


@method
class ResizeAndPad:
    """Resized to a random smaller size and padded with black at random, drawn per clip (Xie et al., ICLR 2018).

    smallest: the least size as a fraction of the frame's; the paper draws 299 to 331 pixels in 331.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    smallest: PositiveFraction = 0.9

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.stack([self._place(clip, generator) for clip, generator in zip(clips, generators, strict=True)])

    def _place(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        height, width = clip.shape[-2:]
        rows = drawn(math.ceil(self.smallest * height), height, generator)
        columns = max(1, round(width * rows / height))
        top, left = drawn(0, height - rows, generator), drawn(0, width - columns, generator)
        planes = clip.reshape(-1, 1, height, width)
        small = without_rounding(F.interpolate(planes, size=(rows, columns), mode="bilinear"))
        return F.pad(small, [left, width - columns - left, top, height - rows - top]).reshape(clip.shape)


def drawn(lowest: int, highest: int, generator: torch.Generator) -> int:
    """A random integer, both ends included."""
    return int(torch.randint(lowest, highest + 1, (), generator=generator))
