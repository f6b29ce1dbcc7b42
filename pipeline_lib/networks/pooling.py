"""Pooling with a deterministic gradient on a GPU: torch's own adds in any order, or raises an error."""

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaxPool3d(nn.MaxPool3d):
    """torch's layer, with another backward pass on a GPU. One number for all axes, no dilation."""

    def forward(self, features: Tensor) -> Tensor:
        if features.is_cuda:
            return max_pool(features, int(self.kernel_size), int(self.stride), int(self.padding))  # type: ignore[arg-type]
        return super().forward(features)


def max_pool(features: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """The largest value of each window of (N, C, T, H, W); as in torch, the first of equal values gets the gradient."""
    return _MaxPool.apply(features, kernel, stride, padding)


class _MaxPool(torch.autograd.Function):
    """torch's forward pass, and a backward pass by gathering, with additions in a fixed order."""

    @staticmethod
    def forward(context: Any, features: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        pooled, places = F.max_pool3d(features, kernel, stride, padding, return_indices=True)
        context.save_for_backward(_offsets(places, features.shape[2:], kernel, stride, padding))
        context.like, context.window = features, (kernel, stride, padding)
        return pooled

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (offsets,), (kernel, stride, padding) = context.saved_tensors, context.window
        result = torch.zeros_like(context.like)
        zero = gradient.new_zeros(())
        for number, offset in enumerate(product(range(kernel), repeat=3)):
            windows, pixels = _windows_at(offset, result.shape[2:], gradient.shape[2:], stride, padding)
            result[pixels] += torch.where(offsets[windows] == number, gradient[windows], zero)
        return result, None, None, None


def _offsets(places: Tensor, size: tuple[int, ...], kernel: int, stride: int, padding: int) -> Tensor:
    """The position of the largest value in its window, as a number from 0 to kernel^3 - 1 in the order of T, H, W."""
    height, width = size[1:]
    axes = places // (height * width), places // width % height, places % width
    offsets = torch.zeros_like(places)
    for axis, place in zip((2, 3, 4), axes, strict=True):
        first = torch.arange(places.shape[axis], device=places.device) * stride - padding
        offsets = offsets * kernel + place - first.view(-1, *[1] * (4 - axis))
    return offsets.to(torch.int32 if kernel > 5 else torch.uint8)


def _windows_at(
    offset: tuple[int, ...], size: tuple[int, ...], windows: tuple[int, ...], stride: int, padding: int
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the windows with a pixel at an offset (the others have padding there), and of these pixels."""
    chosen, pixels = [slice(None)] * 2, [slice(None)] * 2
    for place, length, count in zip(offset, size, windows, strict=True):
        first = max(0, -((place - padding) // stride))
        end = max(first, min(count, (length - 1 + padding - place) // stride + 1))
        start = first * stride + place - padding
        chosen.append(slice(first, end))
        pixels.append(slice(start, start + (end - first) * stride, stride))
    return tuple(chosen), tuple(pixels)


def halved(features: Tensor) -> Tensor:
    """The largest value of each 2 x 2 pixels of a frame, (N, C, T, H, W) -> (N, C, T, H // 2, W // 2)."""
    return F.max_pool2d(features.flatten(1, 2), 2).unflatten(1, features.shape[1:3])
