"""Smoothing filters, all differentiated exactly. Each channel of each frame separately, borders mirrored."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from pipeline_lib.entries.ranges import Odd, Positive, method
from pipeline_lib.transforms.layout import mirrored, on_frames, on_planes, sliding_sum, without_rounding


@method
class GaussianBlur:
    """size: side of the kernel in pixels; sigma in pixels (a comparison of Halftone's; its values are not printed).

    sigma: standard deviation of the kernel.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    size: Odd = 3
    sigma: Positive = 1.0

    def __call__(self, clips: Tensor) -> Tensor:
        return without_rounding(
            on_frames(lambda frames: gaussian_blur(frames, [self.size] * 2, [self.sigma] * 2), clips)
        )


@method
class MeanFilter:
    """size: side of the window in pixels."""

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    size: Odd = 3

    def __call__(self, clips: Tensor) -> Tensor:
        return without_rounding(on_planes(self._average, clips))

    def _average(self, planes: Tensor) -> Tensor:
        padded = mirrored(planes, self.size // 2)
        return sliding_sum(sliding_sum(padded, self.size, 2), self.size, 3) / self.size**2


@method
class MedianFilter:
    """size: side of the window in pixels. The gradient is that of the median pixel."""

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    size: Odd = 3

    def __call__(self, clips: Tensor) -> Tensor:
        return on_planes(self._median, clips)

    def _median(self, planes: Tensor) -> Tensor:
        windows = mirrored(planes, self.size // 2).unfold(2, self.size, 1).unfold(3, self.size, 1)
        # Sorted: the gradient of `median` has no deterministic form on a GPU.
        return windows.flatten(-2).sort(-1).values[..., self.size**2 // 2]


@method
class BilateralFilter:
    """Mean weighted by distance and by difference in value, both Gaussian (Tomasi and Manduchi, 1998).

    size: side of the window, sigma_space: both in pixels; sigma_color on the [0, 1] scale.
    sigma_space: width of the weight by distance.
    sigma_color: width of the weight by difference.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    size: Odd = 5
    sigma_space: Positive = 2.0
    sigma_color: Positive = 0.1

    def __call__(self, clips: Tensor) -> Tensor:
        return without_rounding(on_planes(self._filter, clips))

    def _filter(self, planes: Tensor) -> Tensor:
        margin, (height, width) = self.size // 2, planes.shape[2:]
        padded = mirrored(planes, margin)
        total, norm = torch.zeros_like(planes), torch.zeros_like(planes)
        for row in range(self.size):
            for column in range(self.size):
                neighbor = padded[..., row : row + height, column : column + width]
                distance = math.hypot(row - margin, column - margin) / self.sigma_space
                weight = (-0.5 * (((neighbor - planes) / self.sigma_color) ** 2 + distance**2)).exp()
                total, norm = total + weight * neighbor, norm + weight
        return total / norm
