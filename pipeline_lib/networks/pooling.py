"""Pooling whose gradient a GPU gives the same way twice: torch's own either adds in any order, or is refused."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaxPool3d(nn.MaxPool3d):
    """torch's layer, on a GPU computed axis by axis. One number for all axes, without dilation."""

    def forward(self, features: Tensor) -> Tensor:
        if features.is_cuda:
            return by_axes(features, int(self.kernel_size), int(self.stride), int(self.padding))  # type: ignore[arg-type]
        return super().forward(features)


def by_axes(features: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """The largest value of each window of (N, C, T, H, W). Where several are largest, they share the gradient."""
    for axis in (2, 3, 4):
        margin = [0, 0] * (4 - axis) + [padding, padding]
        padded = F.pad(features, margin, value=-torch.inf)
        reach = padded.shape[axis] - kernel + 1
        every = (slice(None),) * axis + (slice(None, None, stride),)
        features = reduce(torch.maximum, (padded.narrow(axis, first, reach)[every] for first in range(kernel)))
    return features


def halved(features: Tensor) -> Tensor:
    """The largest value of each 2 x 2 pixels of a frame, (N, C, T, H, W) -> (N, C, T, H // 2, W // 2)."""
    return F.max_pool2d(features.flatten(1, 2), 2).unflatten(1, features.shape[1:3])
