"""Random squares inside a region, for Square (Andriushchenko et al., ECCV 2020).

Of a video, a square covers some consecutive frames. Masks are bool (N, 1, T, H, W); for images, T is 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from pipeline_lib.attacks.regions import within

# Fractions of the queries after which the size of the squares is halved (the authors' schedule).
HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
# Random numbers for the place of a square: frame, row, column.
PER_PLACE = 3


def fraction_at(done: float, first: float) -> float:
    """The fraction of the region that a square covers after a fraction `done` of the queries."""
    return first / 2 ** sum(done > limit for limit in HALVED_AT)


class Squares(Protocol):
    """The squares of N clips."""

    def at(self, places: Tensor, fraction: float) -> Tensor:
        """A mask of one square per clip, of this fraction of the region. places: (N, 3), uniform in [0, 1)."""

    def of(self, rows: Tensor) -> Self:
        """The same for some of the clips, by their indices."""


@dataclass(frozen=True, kw_only=True)
class Anywhere:
    """Squares with whole pixels as sides, anywhere in clips of T frames of H x W pixels."""

    shape: Sequence[int]

    def at(self, places: Tensor, fraction: float) -> Tensor:
        lengths = lengths_of(fraction, self.shape)
        return boxes(corners(places, lengths, self.shape), lengths, self.shape)

    def of(self, rows: Tensor) -> Self:
        return self


def frames_of(fraction: float, frames: int) -> int:
    """Number of frames that a square covers. Its share of the frames is that of three equal dimensions."""
    return max(1, round(fraction ** (1 / 3) * frames))


def lengths_of(fraction: float, shape: Sequence[int]) -> tuple[int, int, int]:
    """Frames, height and width of a square that covers about a fraction of clips of this shape (T, H, W)."""
    frames = frames_of(fraction, shape[0])
    side = round((fraction * shape[0] / frames * shape[1] * shape[2]) ** 0.5)
    side = min(max(side, 1), shape[1], shape[2])
    return frames, side, side


def corners(places: Tensor, lengths: Sequence[int], shape: Sequence[int]) -> Tensor:
    """(N, 3) uniform in [0, 1) -> (N, 3): first frame, row and column of a box, each uniform."""
    positions = torch.tensor([size - length + 1 for size, length in zip(shape, lengths, strict=True)])
    return (places * positions.to(places)).long()


def boxes(corners: Tensor, lengths: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The masks of boxes with these first frames, rows and columns (N, 3)."""
    times, rows, columns = (within(corners[:, i], lengths[i], shape[i]) for i in range(3))
    return (times[:, :, None, None] & rows[:, None, :, None] & columns[:, None, None, :])[:, None]


@dataclass(frozen=True, kw_only=True)
class InRegion:
    """The pixels of a region that are nearest to one of them, in the larger of the distances by rows and by columns.

    In a rectangle they form a rectangle, along a border a part of it, and of single pixels a group of neighbors.

    positions: (N, T, A), the indices of the region's pixels in each frame, in rows, before others; counts: (N, T).
    size: height and width of a frame.
    """

    positions: Tensor
    counts: Tensor
    size: tuple[int, int]

    @classmethod
    def of_mask(cls, mask: Tensor) -> Self:
        pixels = mask[:, 0].flatten(-2)
        counts = pixels.sum(-1)
        order = pixels.byte().sort(dim=-1, descending=True, stable=True).indices
        return cls(
            positions=order[..., : max(int(counts.max()), 1)], counts=counts, size=(mask.shape[-2], mask.shape[-1])
        )

    def at(self, places: Tensor, fraction: float) -> Tensor:
        total = self.counts.shape[1]
        frames = frames_of(fraction, total)
        last = (self.counts - 1).clamp_min(0)
        distances = self._distances(torch.minimum((places[:, 1:2] * self.counts).long(), last))
        farthest = ((fraction * total / frames * self.counts).round().long() - 1).clamp_min(0)
        radius = distances.sort(-1).values.gather(-1, torch.minimum(farthest, last)[..., None])
        covered = within(corners(places[:, :1], (frames,), (total,))[:, 0], frames, total)
        chosen = (distances <= radius) & self._exists() & covered[..., None]
        mask = torch.zeros(*self.counts.shape, self.size[0] * self.size[1], dtype=torch.bool, device=chosen.device)
        return mask.scatter_(-1, self.positions, chosen).unflatten(-1, self.size)[:, None]

    def _distances(self, ranks: Tensor) -> Tensor:
        """(N, T, A): distance of each pixel from the one of this rank (N, T) in its frame."""
        rows, columns = self.positions // self.size[1], self.positions % self.size[1]
        down, across = ((one - one.gather(-1, ranks[..., None])).abs() for one in (rows, columns))
        return torch.maximum(down, across).masked_fill(~self._exists(), sum(self.size))

    def _exists(self) -> Tensor:
        return torch.arange(self.positions.shape[-1], device=self.positions.device) < self.counts[..., None]

    def of(self, rows: Tensor) -> Self:
        return replace(self, positions=self.positions[rows], counts=self.counts[rows])
