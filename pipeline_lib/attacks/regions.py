"""Regions: which pixels an attack may change. Positions are drawn from one generator per clip.

Clips are (N, C, T, H, W), or (N, C, H, W): one frame, and no dimension T in masks either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline_lib.errors import PipelineError


class Region(Protocol):
    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """bool, broadcastable to (N, 1, T, H, W): True where clips (N, C, T, H, W) may change."""

    def admits(self, changed: Tensor) -> Tensor:
        """bool (N,): whether the pixels that changed, bool (N, 1, T, H, W), fit into one such region."""


@dataclass(frozen=True, kw_only=True)
class AllPixels:
    """The whole clip."""

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.ones((), dtype=torch.bool, device=clips.device)

    def admits(self, changed: Tensor) -> Tensor:
        return torch.ones(len(changed), dtype=torch.bool, device=changed.device)


@dataclass(frozen=True, kw_only=True)
class RandomRectangle:
    """One rectangle per frame, its position uniform and independent for every frame and clip (ROA).

    The authors draw the upper left corner from 0..H-height-1, 0..W-width-1, so that the last row and column of
    positions is never used: the default. last_position: draw from 0..H-height, 0..W-width.
    """

    height: int
    width: int
    last_position: bool = False

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise PipelineError(f"height and width are {self.height} and {self.width}: a rectangle has a pixel or more")

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        frames, size = clips.shape[2:-2], clips.shape[-2:]
        corners = torch.stack([self._corners(frames, size, generator) for generator in generators]).to(clips.device)
        rows = within(corners[..., 0], self.height, size[0])
        columns = within(corners[..., 1], self.width, size[1])
        return (rows[..., :, None] & columns[..., None, :])[:, None]

    def admits(self, changed: Tensor) -> Tensor:
        return (extent(changed.any(-1)) <= self.height) & (extent(changed.any(-2)) <= self.width)

    def _corners(self, frames: Sequence[int], size: Sequence[int], generator: torch.Generator) -> Tensor:
        """(T, 2): upper row and left column."""
        free = size[0] - self.height, size[1] - self.width
        positions = [pixels + self.last_position for pixels in free]
        if min(positions) < 1:
            raise PipelineError(
                f"a rectangle of {self.height} x {self.width} has no position in frames of {size[0]} x {size[1]}: "
                "choose a smaller height and width (or last_position: true, if it is as large as the frame)"
            )
        draw = [torch.randint(n, tuple(frames), generator=generator, device=generator.device) for n in positions]
        return torch.stack(draw, dim=-1)


def within(start: Tensor, length: int, size: int) -> Tensor:
    """(...) -> bool (..., size): start <= index < start + length."""
    offset = torch.arange(size, device=start.device) - start[..., None]
    return (offset >= 0) & (offset < length)


def extent(used: Tensor) -> Tensor:
    """bool (N, ..., size) -> (N,): the longest way from the first to the last True of a row, both included."""
    index = torch.arange(used.shape[-1], device=used.device)
    first = torch.where(used, index, used.shape[-1]).amin(-1)
    last = torch.where(used, index, -1).amax(-1)
    return (last - first + 1).flatten(1).amax(1)


@dataclass(frozen=True, kw_only=True)
class Border:
    """A frame of `width` pixels along the edges, over the picture (AF: adversarial framing)."""

    width: int

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        height, width = clips.shape[-2:]
        if not 0 < 2 * self.width < min(height, width):
            raise PipelineError(f"width is {self.width}: a border must leave some of frames of {height} x {width}")
        mask = torch.ones(height, width, dtype=torch.bool, device=clips.device)
        mask[self.width : -self.width, self.width : -self.width] = False
        return mask

    def admits(self, changed: Tensor) -> Tensor:
        return ~(changed & ~self.mask(changed, [])).flatten(1).any(1)


@dataclass(frozen=True, kw_only=True)
class RandomPixels:
    """`count` positions per frame, drawn with replacement, all channels (SPA: salt and pepper)."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise PipelineError(f"count is {self.count}: draw one pixel or more in each frame")

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        frames, (height, width) = clips.shape[2:-2], clips.shape[-2:]
        drawn = [
            torch.randint(height * width, (*frames, self.count), generator=generator, device=generator.device)
            for generator in generators
        ]
        positions = torch.stack(drawn).to(clips.device)
        mask = torch.zeros(len(drawn), *frames, height * width, dtype=torch.bool, device=clips.device)
        return mask.scatter_(-1, positions, True).view(-1, 1, *frames, height, width)

    def admits(self, changed: Tensor) -> Tensor:
        return changed.flatten(-2).sum(-1).flatten(1).amax(1) <= self.count
