"""Flickering (Pony, Naeh and Mannor, CVPR 2021): an RGB offset for each frame, the same for all of its pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_lib.attacks.parameters import Drawn, uniform
from pipeline_lib.entries.ranges import NonNegative, PixelChange, method


@method
class Flicker:
    """x + epsilon * p with p of shape (C, T, 1, 1) in [-1, 1]; the offset is not visible as a pattern.

    epsilon: largest offset on the [0, 1] scale.
    thickness: weight of the mean square of the offsets, in units of epsilon squared, in the cost.
    roughness: weight of the mean squares of their first and second differences in time (frames in a circle).
    """

    epsilon: PixelChange
    thickness: NonNegative = 0.0
    roughness: NonNegative = 0.0

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        first = uniform((*clips.shape[1:-2], 1, 1), generators, clips)
        return Drawn(first, lambda offsets: (clips + self.epsilon * offsets).clamp(0, 1), self._cost)

    def _cost(self, offsets: Tensor) -> Tensor:
        cost = self.thickness * mean_square(offsets)
        if offsets.dim() == 4:  # images have no time
            return cost
        before, after = offsets.roll(1, 2), offsets.roll(-1, 2)
        return cost + self.roughness * (mean_square(before - offsets) + mean_square(before - 2 * offsets + after))


def mean_square(values: Tensor) -> Tensor:
    """(N, ...) -> (N,)."""
    return values.square().flatten(1).mean(1)
