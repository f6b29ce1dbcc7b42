"""Functional recoloring (ReColorAdv; Laidlaw and Feizi, NeurIPS 2019): equal colors change in the same way."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.parameters import Drawn, uniform
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
        video = clips if clips.dim() == 5 else clips[:, :, None]
        # grid_sample reads its coordinates as (x, y, z), the last axis of the lattice first: (blue, green, red).
        places = 2 * video.flip(1).movedim(1, -1) - 1
        change = F.grid_sample(offsets, places, padding_mode="border", align_corners=True)
        return (clips + self.epsilon * change.view_as(clips)).clamp(0, 1)

    def _cost(self, offsets: Tensor) -> Tensor:
        squares = (offsets.diff(dim=axis).square().flatten(1).mean(1) for axis in (2, 3, 4))
        return self.smoothness * sum(squares, start=offsets.new_zeros(len(offsets)))
