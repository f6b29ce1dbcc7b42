"""Fog and snow with a texture chosen by the attack (ImageNet-UA; Kang et al., 2019), the same for all frames."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_lib.attacks.parameters import Drawn, uniform
from pipeline_lib.attacks.resampling import enlarged, for_all_frames, scattered, spread
from pipeline_lib.entries.ranges import Count, OpenFraction, PositiveFraction, method


@method
class Fog:
    """x (1 - a) + a, with a in [0, strength] a sum of smooth textures at scales that double, each half as strong.

    ImageNet-UA's fog is a plasma fractal (diamond-square) whose random numbers the attack chooses; here these are the
    values of the grids.

    strength: largest fraction of white.
    octaves: number of scales; the coarsest has 3 x 3 values.
    """

    strength: PositiveFraction
    octaves: Count = 4

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        sides = [2**octave * 2 + 1 for octave in range(self.octaves)]
        first = uniform((sum(side * side for side in sides),), generators, clips)
        return Drawn(first, lambda values: self._shown(clips, values, sides))

    def _shown(self, clips: Tensor, values: Tensor, sides: Sequence[int]) -> Tensor:
        fog = (1 + texture(values, sides, clips.shape[-2:])) / 2
        white = self.strength * for_all_frames(fog, clips)
        return clips + white * (1 - clips)


def texture(values: Tensor, sides: Sequence[int], size: Sequence[int]) -> Tensor:
    """(N, H, W) in [-1, 1]: the weighted mean of square grids of values in [-1, 1], interpolated to `size`."""
    grids = values.split([side * side for side in sides], dim=1)
    weights = [0.5**octave for octave in range(len(sides))]
    total: Tensor = values.new_zeros(())
    for grid, side, weight in zip(grids, sides, weights, strict=True):
        total = total + weight * enlarged(grid.view(-1, side, side), size)
    return total / sum(weights)


@method
class Snow:
    """Streaks of snow at drawn positions; the attack chooses the brightness of each flake.

    A flake is a point moved along a drawn direction, one for each clip; x becomes x + (1 - x) * streaks.

    density: fraction of the positions with a flake.
    length: of the streaks in pixels.
    strength: brightness of the brightest flake.
    """

    density: OpenFraction = 0.05
    length: Count = 5
    strength: PositiveFraction = 1.0

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        size = tuple(clips.shape[-2:])
        places = scattered(self.density, clips, generators)
        angles = torch.stack([torch.rand((), generator=g) for g in generators]) * math.pi / 2 + math.pi / 4
        kernels = torch.stack([streak(float(angle), self.length) for angle in angles]).to(clips)
        first = uniform(size, generators, clips)
        return Drawn(first, lambda flakes: self._shown(clips, flakes, places, kernels))

    def _shown(self, clips: Tensor, flakes: Tensor, places: Tensor, kernels: Tensor) -> Tensor:
        snow = self.strength * spread(places * (1 + flakes) / 2, kernels).clamp(0, 1)
        return clips + for_all_frames(snow, clips) * (1 - clips)


def streak(angle: float, length: int) -> Tensor:
    """(K, K), K odd: a line of `length` pixels through the center, with values 1 at the pixels nearest to it."""
    reach = (length - 1) // 2
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1)
    for step in range(-reach, reach + 1):
        kernel[reach + round(step * math.sin(angle)), reach + round(step * math.cos(angle))] = 1
    return kernel
