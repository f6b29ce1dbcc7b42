"""Regions: which pixels an attack may change. Positions are drawn from one generator per clip.

Clips are (N, C, T, H, W), or (N, C, H, W): one frame, and no dimension T in masks either.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError


class Region(Protocol):
    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """bool, broadcastable to (N, 1, T, H, W): True where clips (N, C, T, H, W) may change."""

    def admits(self, changed: Tensor) -> Tensor:
        """bool (N,): whether the pixels that changed, bool (N, 1, T, H, W), fit into one such region."""


@method
class AllPixels:
    """The whole clip."""

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.ones((), dtype=torch.bool, device=clips.device)

    def admits(self, changed: Tensor) -> Tensor:
        return torch.ones(len(changed), dtype=torch.bool, device=changed.device)


@method
class RandomRectangle:
    """One rectangle per frame, its position uniform and independent for every clip and frame (ROA).

    The authors draw the upper left corner from 0..H-height-1, 0..W-width-1, so that the last row and column of
    positions are never used: the default. last_position: draw from 0..H-height, 0..W-width.
    per: a position for each `frame` (MultiBN's ROA), or one for all frames of a `video`.

    height, width: sides in pixels.
    """

    at_least_pixels: ClassVar[str] = "max(height, width) + (not last_position)"
    always_has_pixels: ClassVar[bool] = True

    height: Count
    width: Count
    last_position: bool = False
    per: Literal["frame", "video"] = "frame"

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        frames, size = clips.shape[2:-2], clips.shape[-2:]
        drawn = frames if self.per == "frame" else [1] * len(frames)
        corners = torch.stack([self._corners(drawn, size, generator) for generator in generators]).to(clips.device)
        return rectangles(corners.expand(-1, *frames, -1), (self.height, self.width), size)

    def admits(self, changed: Tensor) -> Tensor:
        return fits_rectangle(changed, self.height, self.width, self.per)

    def _corners(self, frames: Sequence[int], size: Sequence[int], generator: torch.Generator) -> Tensor:
        """(T, 2): upper row and left column."""
        free = size[0] - self.height, size[1] - self.width
        positions = [pixels + self.last_position for pixels in free]
        if min(positions) < 1:
            raise PipelineError(
                f"a rectangle of {self.height} x {self.width} has no position in frames of {size[0]} x {size[1]}: "
                "choose a smaller height and width (or last_position: true, if it is as large as the frame)"
            )
        draw = [torch.randint(n, tuple(frames), generator=generator) for n in positions]
        return torch.stack(draw, dim=-1)


def rectangles(corners: Tensor, sides: tuple[int, int], size: Sequence[int]) -> Tensor:
    """Upper left corners (N, ..., 2) -> bool (N, 1, ..., H, W): rectangles of these sides in frames of `size`."""
    rows = within(corners[..., 0], sides[0], size[0])
    columns = within(corners[..., 1], sides[1], size[1])
    return (rows[..., :, None] & columns[..., None, :])[:, None]


def fits_rectangle(changed: Tensor, height: int, width: int, per: Literal["frame", "video"]) -> Tensor:
    """bool (N,): whether the pixels that changed, bool (N, 1, ..., H, W), fit into one rectangle per frame or video."""
    if per == "video":
        changed = changed.flatten(1, -3).any(1, keepdim=True)
    return (extent(changed.any(-1)) <= height) & (extent(changed.any(-2)) <= width)


def within(start: Tensor, length: int, size: int) -> Tensor:
    """(...) -> bool (..., size): start <= index < start + length."""
    offset = torch.arange(size, device=start.device) - start[..., None]
    return (offset >= 0) & (offset < length)


def extent(used: Tensor) -> Tensor:
    """bool (N, ..., size) -> (N,): the largest distance from the first to the last True of a row, both included."""
    index = torch.arange(used.shape[-1], device=used.device)
    first = torch.where(used, index, used.shape[-1]).amin(-1)
    last = torch.where(used, index, -1).amax(-1)
    return (last - first + 1).flatten(1).amax(1)


@method
class Border:
    """A frame of `width` pixels along the edges, over the picture (AF: adversarial framing).

    width: of the border in pixels.
    """

    at_least_pixels: ClassVar[str] = "2 * width + 1"
    always_has_pixels: ClassVar[bool] = True

    width: Count

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        height, width = clips.shape[-2:]
        if not 2 * self.width < min(height, width):
            raise PipelineError(f"width is {self.width}: a border must leave a part of frames of {height} x {width}")
        mask = torch.ones(height, width, dtype=torch.bool, device=clips.device)
        mask[self.width : -self.width, self.width : -self.width] = False
        return mask

    def admits(self, changed: Tensor) -> Tensor:
        return ~(changed & ~self.mask(changed, [])).flatten(1).any(1)


@method
class RandomPixels:
    """`count` positions per frame, all channels (SPA: salt and pepper).

    replace: drawn with replacement, as the authors do, so that some may be equal; otherwise all are different.
    count: positions per frame.
    """

    at_least_pixels: ClassVar[str] = "-(-(count**0.5) // 1)"  # the square root, rounded up
    always_has_pixels: ClassVar[bool] = True

    count: Count
    replace: bool = True

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        frames, (height, width) = clips.shape[2:-2], clips.shape[-2:]
        if self.count > height * width:
            raise PipelineError(f"count is {self.count}: frames of {height} x {width} have {height * width} pixels")
        draw = self._with_replacement if self.replace else self._without
        drawn = [draw(frames, height * width, generator) for generator in generators]
        positions = torch.stack(drawn).to(clips.device)
        mask = torch.zeros(len(drawn), *frames, height * width, dtype=torch.bool, device=clips.device)
        return mask.scatter_(-1, positions, True).view(-1, 1, *frames, height, width)

    def _with_replacement(self, frames: Sequence[int], pixels: int, generator: torch.Generator) -> Tensor:
        return torch.randint(pixels, (*frames, self.count), generator=generator)

    def _without(self, frames: Sequence[int], pixels: int, generator: torch.Generator) -> Tensor:
        shuffled = [torch.randperm(pixels, generator=generator)[: self.count] for _ in range(math.prod(frames))]
        return torch.stack(shuffled).view(*frames, self.count)

    def admits(self, changed: Tensor) -> Tensor:
        return changed.flatten(-2).sum(-1).flatten(1).amax(1) <= self.count


@method
class FirstSampleOnly:
    """A region in the first clip of a batch, none in the others: a defect of the authors' training code (ROA, SPA).

    It makes results depend on the batch. Only to reproduce their training; their evaluation used batches of one clip.

    region: that of the first clip.
    """

    region: Region

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        first = torch.arange(len(clips), device=clips.device) == 0
        return first.view(-1, *[1] * (clips.dim() - 1)) & self.region.mask(clips, generators)

    def admits(self, changed: Tensor) -> Tensor:
        return self.region.admits(changed)


def require_pixels(region: Region, mask: Tensor, clips: Tensor) -> None:
    """Raises PipelineError for clips in which a region has no pixel: all of them would seem robust.

    Not for classes that state `always_has_pixels`: looking at the mask's values waits for the device.
    """
    known = getattr(type(region), "always_has_pixels", False)
    if known or mask.dim() == 0 or isinstance(region, FirstSampleOnly):
        return
    of_clips = mask if mask.dim() == clips.dim() else mask[None]  # one for all clips
    empty = (~of_clips.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise PipelineError(f"region is {type(region).__name__}: it has no pixels in clips {empty} of a batch")
