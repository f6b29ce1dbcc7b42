"""Non-local means (Buades et al., 2005), each channel of each frame on its own."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.ranges import Odd, Positive, check_ranges
from pipeline_lib.transforms.layout import mirrored, on_planes

# Pixels at a time: what a CPU has in its caches, and what keeps any other device busy.
CPU_PIXELS, DEVICE_PIXELS = 2**18, 2**26


@dataclass(frozen=True, kw_only=True)
class NonlocalMeans:
    """Every pixel becomes the mean of those around it, weighted by exp(-d / strength^2), d the mean squared difference
    of the patches around the two; OpenCV's `fastNlMeansDenoising` without its rounding to 8 bits, on any device.

    strength on the [0, 1] scale (OpenCV's h / 255); patch, search: sides of the patches and of the window in pixels.
    Autograd would keep every weight of the window, so the gradient is an approximation (or none).
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    strength: Positive = 10 / 255
    patch: Odd = 7
    search: Odd = 21

    def __post_init__(self) -> None:
        check_ranges(self)

    def __call__(self, clips: Tensor) -> Tensor:
        return on_planes(self._denoise, clips.detach()).clamp_(0, 1)

    def _denoise(self, planes: Tensor) -> Tensor:
        padded = mirrored(planes, self.patch // 2 + self.search // 2)
        pixels = CPU_PIXELS if planes.device.type == "cpu" else DEVICE_PIXELS
        count = max(1, pixels // padded[0].numel())
        # Planes last: neighbors in memory for every window.
        parts = [self._mean(part.permute(2, 3, 0, 1).contiguous()) for part in padded.split(count)]
        return torch.cat(parts, dim=2).permute(2, 3, 0, 1)

    def _mean(self, padded: Tensor) -> Tensor:
        """(height + margins, width + margins, planes, 1) -> the same without margins."""
        reach, edge = self.search - 1, self.patch - 1
        center = window(padded, reach // 2, reach // 2, reach)
        total = torch.zeros_like(window(center, 0, 0, edge))
        norm = torch.zeros_like(total)
        for row in range(self.search):
            for column in range(self.search):
                neighbor = window(padded, row, column, reach)
                weight = self._weight((neighbor - center).square_())
                norm += weight
                total += weight.mul_(window(neighbor, edge // 2, edge // 2, edge))
        return total.div_(norm)

    def _weight(self, squares: Tensor) -> Tensor:
        distance = sliding_sum(sliding_sum(squares, self.patch, 0), self.patch, 1)
        # Smaller weights vanish beside the pixel's own, which is 1, and arithmetic with denormal numbers is slow.
        return distance.mul_(-1 / (self.patch * self.strength) ** 2).clamp_(min=-60).exp_()


def window(pictures: Tensor, row: int, column: int, less: int) -> Tensor:
    """The part that begins at (row, column) and is `less` pixels lower and narrower than the pictures."""
    height, width = pictures.shape[:2]
    return pictures[row : row + height - less, column : column + width - less]


def sliding_sum(values: Tensor, length: int, axis: int) -> Tensor:
    """Sums of `length` neighbors along an axis, by doubling: about 2 log2(length) additions."""
    if length == 1:
        return values
    half = sliding_sum(values, length // 2, axis)
    count = values.shape[axis] - length + 1
    total = half.narrow(axis, 0, count) + half.narrow(axis, length // 2, count)
    return total + values.narrow(axis, length - 1, count) if length % 2 else total
