"""Functional recoloring (ReColorAdv; Laidlaw and Feizi, NeurIPS 2019): equal colors change in the same way."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from pipeline_lib.attacks.parameters import Drawn, uniform
from pipeline_lib.attacks.resampling import near
from pipeline_lib.entries.ranges import Levels, NonNegative, PixelChange, method


@method
class Recolor:
    """x becomes x + f(x), f a trilinear interpolation of offsets on a lattice of the color cube.

    The paper's cube is CIELUV; here it is RGB, so that the offset of a pixel is bounded on the scale of PGD's.

    epsilon: largest offset of each channel.
    lattice: points along each side of the cube.
    smoothness: weight of the mean squared difference of adjacent offsets, in units of epsilon, in the cost.
    """

    epsilon: PixelChange
    lattice: Levels = 8
    smoothness: NonNegative = 0.0

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        first = uniform((3, *[self.lattice] * 3), generators, clips)
        return Drawn(first, lambda offsets: self._shown(clips, offsets), self._cost)

    def _shown(self, clips: Tensor, offsets: Tensor) -> Tensor:
        change = interpolated(offsets, clips.flatten(2) * (self.lattice - 1)).view_as(clips)
        return (clips + self.epsilon * change).clamp(0, 1)

    def _cost(self, offsets: Tensor) -> Tensor:
        squares = (offsets.diff(dim=axis).square().flatten(1).mean(1) for axis in (2, 3, 4))
        return self.smoothness * sum(squares, start=offsets.new_zeros(len(offsets)))


def interpolated(lattice: Tensor, places: Tensor) -> Tensor:
    """Values (N, C, L, L, L) at places (N, 3, P) in units of the lattice, trilinear: (N, C, P)."""
    side = lattice.shape[-1]
    lower = places.floor().clamp(0, side - 2)
    total = lattice.new_zeros(())
    for corner in product((0, 1), repeat=3):
        weights = [near(places[:, axis] - lower[:, axis], up) for axis, up in enumerate(corner)]
        red, green, blue = (lower[:, axis] + up for axis, up in enumerate(corner))
        index = ((red * side + green) * side + blue).long()[:, None].expand(-1, lattice.shape[1], -1)
        total = total + (weights[0] * weights[1] * weights[2])[:, None] * lattice.flatten(2).gather(2, index)
    return total
