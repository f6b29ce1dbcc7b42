"""Transforms that move pixels; the same for all frames and channels of a clip, differentiated exactly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.errors import PipelineError
from pipeline_lib.transforms.layout import on_planes, require_positive, without_rounding


@dataclass(frozen=True, kw_only=True)
class Swirl:
    """Turned around the center, less and less outwards: by strength * exp(-5 / ln 2 * distance / radius), bilinear.

    The map of scikit-image's `swirl`. strength: radians in the center; radius: where 1/1000 of the turn is left, in
    units of half the shorter side. Pixels from outside repeat the border. The defaults are our choice.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    strength: float = 1.0
    radius: float = 2.0

    def __post_init__(self) -> None:
        require_positive(radius=self.radius)

    def __call__(self, clips: Tensor) -> Tensor:
        height, width = clips.shape[-2:]
        rows = torch.arange(height, device=clips.device)[:, None] - (height - 1) / 2
        columns = torch.arange(width, device=clips.device) - (width - 1) / 2
        decay = 5 / math.log(2) / (self.radius * min(height, width) / 2)
        distance = torch.hypot(rows, columns)
        angle = torch.atan2(rows, columns) + self.strength * (-decay * distance).exp()
        grid = torch.stack([distance * angle.cos() * 2 / width, distance * angle.sin() * 2 / height], dim=-1)
        return without_rounding(on_planes(lambda planes: sampled(planes, grid.to(clips)), clips))


def sampled(planes: Tensor, grid: Tensor) -> Tensor:
    """Planes (M, 1, H, W) at the positions of one grid (H, W, 2): x, y from -1 to 1, edge to edge."""
    moved = F.grid_sample(planes.transpose(0, 1), grid[None], padding_mode="border", align_corners=False)
    return moved.transpose(0, 1)


@dataclass(frozen=True, kw_only=True)
class ResizeAndPad:
    """Shrunk to a random size and put at a random place on black, one draw for each clip (Xie et al., ICLR 2018).

    smallest: the least size as a share of the frame's; theirs goes from 299 to 331 pixels in 331.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    smallest: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= 1:
            raise PipelineError(f"smallest is {self.smallest}: it is a share above 0, up to 1")

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
    """An integer, both ends included."""
    return int(torch.randint(lowest, highest + 1, (), generator=generator, device=generator.device))
