"""The candidates of Square: changes of the best clips in random squares (Andriushchenko et al., ECCV 2020)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from pipeline_lib.attacks.norms import l2_norm, of_clip, unit
from pipeline_lib.attacks.squares import PER_PLACE, Squares, boxes, corners, lengths_of

# Of the search in an l2 ball: the smallest side of a square, and the number of first squares in a row.
SMALLEST_SIDE, FIRST_IN_ROW = 3, 5


class Search(Protocol):
    """The candidates for N clips (N, C, T, H, W), each inside the bound."""

    def first(self) -> Tensor:
        """The first candidates."""

    def following(self, best: Tensor, query: int, fraction: float) -> Tensor:
        """The candidates of a query, from the best ones so far: changes in squares of this fraction of the region."""

    def of(self, rows: Tensor) -> Self:
        """The search for some of the clips, by their indices."""


@dataclass(frozen=True, kw_only=True)
class BetweenEnds:
    """Search in an l-inf bound: every element of a region is at the lower or the upper end of its range. All elements
    of a square move to one of them, drawn for each channel. The first candidates are vertical stripes.

    clips, low, high: (N, C, T, H, W); region: (N, 1, T, H, W). Random numbers in [0, 1): stripes (N, C, W), and
    draws (N, queries, 3 + C).
    """

    clips: Tensor
    low: Tensor
    high: Tensor
    region: Tensor
    squares: Squares
    stripes: Tensor
    draws: Tensor

    def first(self) -> Tensor:
        return torch.where(self.region, self._ends(self.stripes[:, :, None, None, :]), self.clips)

    def following(self, best: Tensor, query: int, fraction: float) -> Tensor:
        places, signs = self.draws[:, query].split([PER_PLACE, best.shape[1]], 1)
        square = self.squares.at(places, fraction) & self.region
        return torch.where(square, self._ends(signs[:, :, None, None, None]), best)

    def _ends(self, uniform: Tensor) -> Tensor:
        return torch.where(uniform < 0.5, self.low, self.high)

    def of(self, rows: Tensor) -> Self:
        names = ("clips", "low", "high", "region", "stripes", "draws")
        return replace(self, squares=self.squares.of(rows), **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True, kw_only=True)
class InL2Ball:
    """Search in an l2 ball, with changes on its surface, up to the box. A square's change is replaced by one of two
    pyramids with opposite signs, and gets the length of the former change in another square too, which becomes 0.

    clips: (N, C, T, H, W). project: candidates and clips -> candidates inside the ball and the box. Random
    numbers in [0, 1): tiles (N, 25, C + 1) and draws (N, queries, 2 * 3 + C + 1).
    """

    clips: Tensor
    radius: float
    project: Callable[[Tensor, Tensor], Tensor]
    tiles: Tensor
    draws: Tensor

    def first(self) -> Tensor:
        height, width = self.clips.shape[-2:]
        side = max(min(height, width) // FIRST_IN_ROW, 1)
        change, tile = torch.zeros_like(self.clips), 0
        for row in range(0, side * min(height // side, FIRST_IN_ROW), side):
            for column in range(0, side * min(width // side, FIRST_IN_ROW), side):
                pattern = signed_pyramids(side, self.tiles[:, tile])
                change[..., row : row + side, column : column + side] = pattern[:, :, None]
                tile += 1
        return self._on_surface(change)

    def following(self, best: Tensor, query: int, fraction: float) -> Tensor:
        to, other, signs = self.draws[:, query].split([PER_PLACE, PER_PLACE, best.shape[1] + 1], 1)
        shape, lengths = self.clips.shape[2:], odd(lengths_of(fraction, self.clips.shape[2:]), self.clips.shape[2:])
        corner = corners(to, lengths, shape)
        square, emptied = boxes(corner, lengths, shape), boxes(corners(other, lengths, shape), lengths, shape)
        change = best - self.clips
        former = change * square
        new = shifted(signed_pyramids(lengths[1], signs), corner, shape) * square
        new = new / lengths[0] ** 0.5 + unit(former, PER_CHANNEL)
        unused = (self.radius**2 - l2_norm(change, of_clip(change)) ** 2).clamp_min(0) / change.shape[1]
        length = (unused + l2_norm(change * (square | emptied), PER_CHANNEL) ** 2).sqrt()
        change = torch.where(square, length * unit(new, PER_CHANNEL), torch.where(emptied, 0, change))
        return self._on_surface(change)

    def _on_surface(self, change: Tensor) -> Tensor:
        return self.project(self.clips + self.radius * unit(change, of_clip(change)), self.clips)

    def of(self, rows: Tensor) -> Self:
        return replace(self, clips=self.clips[rows], tiles=self.tiles[rows], draws=self.draws[rows])


# The dimensions of a channel of a clip.
PER_CHANNEL = (2, 3, 4)


def odd(lengths: tuple[int, int, int], shape: torch.Size) -> tuple[int, int, int]:
    """The lengths with an odd side, at least 3 where the frame has as many pixels."""
    most = min(shape[1:])
    side = min(max(lengths[1], SMALLEST_SIDE) | 1, most - (most + 1) % 2)
    return lengths[0], side, side


def signed_pyramids(side: int, uniform: Tensor) -> Tensor:
    """(N, C, side, side), of l2 norm 1 per channel: one half positive and one negative, as high as wide or turned by 90
    degrees, with a sign per channel; uniform: (N, C + 1) in [0, 1)."""
    upper = side // 2
    pattern = unit(torch.cat([pyramid(upper, side), -pyramid(side - upper, side)]), (0, 1)).to(uniform)
    turned = torch.where(uniform[:, -1, None, None] < 0.5, pattern, pattern.T)[:, None]
    return turned * torch.where(uniform[:, :-1, None, None] < 0.5, -1, 1)


def pyramid(rows: int, columns: int) -> Tensor:
    """(rows, columns), of l2 norm 1: sums of 1 / k^2 from each element's distance to the center (their Eq. 2)."""
    down, across = ((torch.arange(n) - n // 2).abs() for n in (rows, columns))
    steps = torch.arange(1, max(rows, columns) // 2 + 2, dtype=torch.float64) ** -2
    heights = steps.flip(0).cumsum(0).flip(0)
    values = heights[torch.maximum(down[:, None], across[None])]
    return unit(values, (0, 1)) if rows else values


def shifted(pattern: Tensor, corner: Tensor, shape: torch.Size) -> Tensor:
    """(N, C, side, side) -> (N, C, 1, H, W): each pattern at its rows and columns of the corners (N, 3). Values outside
    the square have no meaning."""
    side = pattern.shape[-1]
    rows, columns = (
        (torch.arange(size, device=corner.device) - corner[:, i : i + 1]).clamp(0, side - 1)
        for i, size in ((1, shape[1]), (2, shape[2]))
    )
    clip = torch.arange(len(pattern), device=corner.device)[:, None, None]
    return pattern.permute(0, 2, 3, 1)[clip, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)[:, :, None]
