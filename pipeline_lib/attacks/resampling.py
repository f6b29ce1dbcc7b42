"""Bilinear resampling whose gradient has one deterministic form on a GPU, unlike `grid_sample` and `interpolate`."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled(frames: Tensor, rows: Tensor, columns: Tensor, outside: Literal["black", "edge"]) -> Tensor:
    """Frames (M, C, H, W) at the pixel coordinates (M, H', W'), bilinear: (M, C, H', W').

    Differentiable in the coordinates. outside: what lies outside of the frame.
    """
    height, width = frames.shape[-2:]
    upper, left = rows.detach().floor(), columns.detach().floor()
    total = frames.new_zeros(())
    for down in (0, 1):
        for right in (0, 1):
            row, column = upper + down, left + right
            weight = near(rows - upper, down) * near(columns - left, right)
            if outside == "black":
                weight = weight * ((row >= 0) & (row < height) & (column >= 0) & (column < width))
            index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            total = total + weight[:, None] * at(frames, index.long())
    return total


def near(fraction: Tensor, corner: int) -> Tensor:
    """The weight of the lower (0) or upper (1) neighbor of a coordinate."""
    return fraction if corner else 1 - fraction


def at(frames: Tensor, index: Tensor) -> Tensor:
    """(M, C, H, W) at flat indices (M, H', W') -> (M, C, H', W')."""
    channels = frames.shape[1]
    flat = index.flatten(1)[:, None].expand(-1, channels, -1)
    return frames.flatten(2).gather(2, flat).unflatten(2, index.shape[1:])


def coordinates(size: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W) of every pixel."""
    return torch.arange(size[0]).to(like)[:, None], torch.arange(size[1]).to(like)


def moved(frames: Tensor, angle: Tensor, down: Tensor, right: Tensor, outside: Literal["black", "edge"]) -> Tensor:
    """Frames (M, C, H, W) turned around their center, then shifted; bilinear, differentiable in the motion.

    angle: (M,), clockwise, in radians; down, right: (M,), in pixels.
    """
    angle, down, right = (motion[:, None, None] for motion in (angle, down, right))
    rows, columns = coordinates(frames.shape[-2:], frames)
    middle = [(pixels - 1) / 2 for pixels in frames.shape[-2:]]
    row, column = rows - middle[0] - down, columns - middle[1] - right
    source_row = angle.cos() * row - angle.sin() * column + middle[0]
    source_column = angle.sin() * row + angle.cos() * column + middle[1]
    return sampled(frames, source_row, source_column, outside)


def enlarged(grids: Tensor, size: Sequence[int]) -> Tensor:
    """Grids (..., h, w) -> (..., H, W), bilinear; the outermost values are those of the outermost pixels."""
    rows, columns = (linear_weights(*sides).to(grids) for sides in zip(grids.shape[-2:], size, strict=True))
    return rows @ grids @ columns.mT


def linear_weights(values: int, pixels: int) -> Tensor:
    """(pixels, values): the weights of `values` points in a linear interpolation, both ends included."""
    places = torch.linspace(0, values - 1, pixels)
    return (1 - (places[:, None] - torch.arange(values)).abs()).clamp(min=0)


def scattered(density: float, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """bool (N, H, W): a drawn fraction of the pixels of each clip, the same in all frames."""
    size = tuple(clips.shape[-2:])
    return torch.stack([torch.rand(size, generator=g) < density for g in generators]).to(clips.device)


def spread(points: Tensor, kernels: Tensor) -> Tensor:
    """Pictures (N, H, W), each convolved with its kernel (N, K, K), K odd: one group of a convolution for each."""
    return F.conv2d(points[None], kernels[:, None], padding=kernels.shape[-1] // 2, groups=len(points))[0]


def for_all_frames(pictures: Tensor, clips: Tensor) -> Tensor:
    """Pictures (N, H, W), one for each clip, in a shape that broadcasts over channels and frames."""
    return pictures.view(len(clips), *[1] * (clips.dim() - 3), *pictures.shape[-2:])
