"""Non-local means (Buades et al., 2005), each channel of each frame separately."""

from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Odd, Positive, method
from pipeline_lib.transforms.layout import mirrored, on_planes, sliding_sum

# Pixels at a time: the size of a CPU's caches, and enough to occupy any other device.
CPU_PIXELS, DEVICE_PIXELS = 2**17, 2**26


@method
class NonlocalMeans:
    """Every pixel becomes the mean of those around it, weighted by exp(-d / strength^2), d the mean squared difference
    of the patches around the two; OpenCV's `fastNlMeansDenoising` without its rounding to 8 bits, on any device.

    strength on the [0, 1] scale (OpenCV's h / 255); patch, search: sides of the patches and of the window in pixels.
    Autograd would keep every weight of the window, so the gradient is an approximation (or none).

    strength: h, the difference at which a weight is 1/e.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    strength: Positive = 10 / 255
    patch: Odd = 7
    search: Odd = 21

    def __call__(self, clips: Tensor) -> Tensor:
        return on_planes(self._denoise, clips.detach()).clamp_(0, 1)

    def _denoise(self, planes: Tensor) -> Tensor:
        padded = mirrored(planes, self.patch // 2 + self.search // 2)
        pixels = CPU_PIXELS if planes.device.type == "cpu" else DEVICE_PIXELS
        count = max(1, pixels // padded[0].numel())
        # Planes last: contiguous in memory for every window.
        parts = [self._mean(part.permute(2, 3, 0, 1).contiguous()) for part in padded.split(count)]
        return torch.cat(parts, dim=2).permute(2, 3, 0, 1)

    def _mean(self, padded: Tensor) -> Tensor:
        """(height + margins, width + margins, planes, 1) -> the same without margins.

        The weight of two pixels is symmetric, so half of the window's offsets are enough.
        """
        search, edge = self.search // 2, self.patch // 2
        margin = search + edge
        height, width = (size - 2 * margin for size in padded.shape[:2])
        total = window(padded, margin, margin, height, width).clone()
        norm = torch.ones_like(total)
        for down in range(search + 1):
            for right in range(-search if down else 1, search + 1):
                left = max(0, right)  # start of the image in the weights, which are larger by the offset
                rows, columns = height + down, width + abs(right)
                size = rows + 2 * edge, columns + 2 * edge
                one = window(padded, search - down, search - left, *size)
                other = window(padded, search, search - left + right, *size)
                weight = self._weight((one - other).square_())
                for top, side, sign in ((down, left, 1), (0, max(0, -right), -1)):
                    own = window(weight, top, side, height, width)
                    neighbor = window(padded, margin + sign * down, margin + sign * right, height, width)
                    norm += own
                    total.addcmul_(own, neighbor)
        return total.div_(norm)

    def _weight(self, squares: Tensor) -> Tensor:
        distance = sliding_sum(sliding_sum(squares, self.patch, 0), self.patch, 1)
        # Smaller weights are negligible against the pixel's own, which is 1, and denormal arithmetic is slow.
        return distance.mul_(-1 / (self.patch * self.strength) ** 2).clamp_(min=-60).exp_()


def window(pictures: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return pictures[top : top + height, left : left + width]
