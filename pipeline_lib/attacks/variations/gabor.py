"""Gabor noise whose sparse weights the attack chooses, as in ImageNet-UA (Kang et al., 2019)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_lib.attacks.parameters import Drawn, uniform
from pipeline_lib.attacks.resampling import for_all_frames, scattered, spread
from pipeline_lib.entries.ranges import OpenFraction, PixelChange, Positive, method


@method
class Gabor:
    """x + epsilon * noise, noise = sparse weights convolved with a Gabor kernel and scaled to at most 1.

    Orientation and positions are drawn for each clip; all frames and channels get the same noise.

    epsilon: largest change of a pixel.
    density: fraction of the positions with a weight.
    wavelength: of the kernel in pixels.
    sigma: standard deviation of its envelope in pixels.
    """

    epsilon: PixelChange
    density: OpenFraction = 0.05
    wavelength: Positive = 5.0
    sigma: Positive = 2.5

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        size = tuple(clips.shape[-2:])
        places = scattered(self.density, clips, generators)
        angles = [math.pi * float(torch.rand((), generator=g)) for g in generators]
        kernels = torch.stack([gabor_kernel(angle, self.wavelength, self.sigma) for angle in angles]).to(clips)
        return Drawn(uniform(size, generators, clips), lambda weights: self._shown(clips, weights * places, kernels))

    def _shown(self, clips: Tensor, weights: Tensor, kernels: Tensor) -> Tensor:
        noise = spread(weights, kernels)
        noise = noise / noise.abs().flatten(1).amax(1).clamp_min(1)[:, None, None]
        return (clips + self.epsilon * for_all_frames(noise, clips)).clamp(0, 1)


def gabor_kernel(angle: float, wavelength: float, sigma: float) -> Tensor:
    """(K, K), K odd: exp(-|r|^2 / (2 sigma^2)) cos(2 pi <r, direction> / wavelength), up to three sigma."""
    reach = math.ceil(3 * sigma)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    along = columns * math.cos(angle) + rows * math.sin(angle)
    return (-(rows**2 + columns**2) / (2 * sigma**2)).exp() * (2 * math.pi * along / wavelength).cos()
