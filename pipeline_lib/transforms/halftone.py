"""Halftoning by error diffusion (Lo and Patel, ICIP 2021): Floyd-Steinberg, left to right in every row.

Each channel of each frame separately: I^ = I + sum of h e, Q = u(I^ - theta), e = I^ - Q. Pixel (row, column) depends
on its left neighbor and three pixels above it, so all pixels of equal column + 2 row are independent: a wavefront.
The fronts are computed in sequence, each for the whole batch. Sums are in the order of the loop over pixels.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Levels, OpenFraction, method

# (row, column, sixteenths) in the order in which errors are added to a pixel. Multiplication and addition are separate
# operations: a fused one rounds once, and differently on each device.
FLOYD_STEINBERG = ((1, 1, 1), (1, 0, 5), (1, -1, 3), (0, 1, 7))


@method
class Halftone:
    """Float arithmetic without clamping of accumulated errors (the authors' code).

    theta: threshold between neighboring levels, as a fraction of their distance. levels: number of output levels; 2 is
    one bit (the paper), 1001 the three decimals of the authors' later code. outside: errors of neighbors outside the
    frame are dropped (the authors' code), or their weight is distributed over the neighbors inside.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    theta: OpenFraction = 0.5
    levels: Levels = 2
    outside: Literal["dropped", "renormalized"] = "dropped"

    def __call__(self, clips: Tensor) -> Tensor:
        height, width = clips.shape[-2:]
        canvas = Canvas.of(clips)
        fractions = weights(height, width, self.outside).to(clips.device)
        quantize = self._one_bit if self.levels == 2 else self._quantize
        for front in fronts(height, width):
            here = canvas.pixels[front.slice(0)]
            level = quantize(here)
            parts = fractions[:, front.slice(0)] * (here - level)
            for (down, right, _), part in zip(FLOYD_STEINBERG, parts, strict=True):
                canvas.pixels[front.slice(canvas.offset(down, right))].add_(part)
            here.copy_(level)
        return canvas.clips(clips.shape)

    def _one_bit(self, values: Tensor) -> Tensor:
        return (values > self.theta).to(values.dtype)

    def _quantize(self, values: Tensor) -> Tensor:
        top = self.levels - 1
        return (values * top - self.theta).ceil().clamp(0, top) / top


@method
class HalftoneInteger:
    """8-bit arithmetic, bit for bit Pillow's `convert("1")` of each channel.

    Unlike the float form, a pixel is clamped to 0 to 255 before its error is taken, errors are divided toward zero,
    and a value above 128 becomes white.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    def __call__(self, clips: Tensor) -> Tensor:
        height, width = clips.shape[-2:]
        canvas = Canvas.of((clips * 255).round())
        # In sixteenths of gray levels: small integers, exact in float32.
        errors = torch.zeros_like(canvas.pixels)
        for front in fronts(height, width):
            here = canvas.pixels[front.slice(0)]
            value = ((errors[front.slice(0)] / 16).trunc_() + here).clamp_(0, 255)
            level = (value > 128) * 255.0
            value -= level
            for down, right, sixteenths in FLOYD_STEINBERG:
                errors[front.slice(canvas.offset(down, right))].add_(value * sixteenths)
            here.copy_(level)
        return canvas.clips(clips.shape) / 255


class Front(NamedTuple):
    """Pixels of a front in a canvas: index of the first, and stride to the next, one row down and two columns left."""

    first: int
    step: int
    length: int

    def slice(self, offset: int) -> slice:
        """The pixels at a distance of `offset` from those of the front."""
        start = self.first + offset
        return slice(start, start + (self.length - 1) * self.step + 1, self.step)


def fronts(height: int, width: int) -> Iterator[Front]:
    """The fronts in order; indices are in a canvas whose rows are two pixels wider than the frame."""
    for number in range(width + 2 * (height - 1)):
        top = max(0, (number - width + 2) // 2)
        bottom = min(height - 1, number // 2)
        if top <= bottom:
            yield Front(top * width + 1 + number, width, bottom - top + 1)


class Canvas(NamedTuple):
    """All planes, (places, planes): frames in row-major order, with a margin left, right and below for errors outside
    the frame."""

    pixels: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, clips: Tensor) -> "Canvas":
        height, width = clips.shape[-2:]
        planes = clips.detach().reshape(-1, height, width)
        grid = clips.new_zeros(height + 1, width + 2, len(planes))
        grid[:-1, 1:-1] = planes.permute(1, 2, 0)
        return cls(grid.flatten(0, 1), height, width)

    def offset(self, down: int, right: int) -> int:
        return down * (self.width + 2) + right

    def clips(self, shape: torch.Size) -> Tensor:
        """The frames without the margin, in the given shape."""
        grid = self.pixels.view(self.height + 1, self.width + 2, -1)[:-1, 1:-1]
        return grid.permute(2, 0, 1).reshape(shape)


def weights(height: int, width: int, outside: Literal["dropped", "renormalized"]) -> Tensor:
    """(4, places, 1): the fraction of each pixel's error for each of its neighbors."""
    fractions = torch.tensor([sixteenths / 16 for *_, sixteenths in FLOYD_STEINBERG])
    fractions = fractions[:, None, None].expand(-1, height + 1, width + 2)
    if outside == "renormalized":
        inside = torch.zeros(height + 1, width + 2)
        inside[:-1, 1:-1] = 1
        kept = fractions * torch.stack([_moved(inside, down, right) for down, right, _ in FLOYD_STEINBERG])
        # The last pixel has no neighbor inside the frame.
        fractions = kept / kept.sum(0).clamp(min=1 / 16)
    return fractions.reshape(4, -1, 1)


def _moved(grid: Tensor, down: int, right: int) -> Tensor:
    """The value at (row + down, column + right) of each element; outside the grid 0."""
    return grid.roll((-down, -right), (0, 1))
