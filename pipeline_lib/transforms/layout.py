"""Clips as batches of pictures and back, for transforms of single frames (and channels).

Clips are (N, C, T, H, W) or images (N, C, H, W), float32 in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import as_clips, as_pictures
from pipeline_lib.transforms.bpda import StraightThrough

Pictures = Callable[[Tensor], Tensor]


def on_planes(function: Pictures, clips: Tensor) -> Tensor:
    """Applies a function of gray pictures (M, 1, H, W) to every channel of every frame."""
    return function(clips.reshape(-1, 1, *clips.shape[-2:])).reshape(clips.shape)


def on_frames(function: Pictures, clips: Tensor) -> Tensor:
    """Applies a function of pictures (M, C, H, W) to every frame."""
    return as_clips(function(as_pictures(clips)), clips).contiguous()


def mirrored(pictures: Tensor, margin: int) -> Tensor:
    """A margin of pixels mirrored at the outermost ones, which are not repeated.

    Raises:
        PipelineError: the pictures are not larger than the margin.
    """
    height, width = pictures.shape[-2:]
    if margin >= min(height, width):
        raise PipelineError(f"a transform reaches {margin} pixels, frames are {height} x {width}: choose a smaller one")
    # By concatenation: the gradient of `pad` has no deterministic form on a GPU.
    for axis in (-2, -1):
        size = pictures.shape[axis]
        before = pictures.narrow(axis, 1, margin).flip(axis)
        behind = pictures.narrow(axis, size - 1 - margin, margin).flip(axis)
        pictures = torch.cat([before, pictures, behind], axis)
    return pictures


def sliding_sum(values: Tensor, length: int, axis: int) -> Tensor:
    """Sums of `length` neighbors along an axis, by doubling: about 2 log2(length) additions."""
    if length == 1:
        return values
    half = sliding_sum(values, length // 2, axis)
    count = values.shape[axis] - length + 1
    total = half.narrow(axis, 0, count) + half.narrow(axis, length // 2, count)
    return total + values.narrow(axis, length - 1, count) if length % 2 else total


def without_rounding(clips: Tensor) -> Tensor:
    """Clips rounding errors of averages outside [0, 1]; unlike clamp, the gradient there is not zero."""
    return StraightThrough.apply(clips, lambda seen: seen.clamp(0, 1))


def require_rgb(clips: Tensor) -> None:
    """Raises PipelineError unless the clips have three channels."""
    if clips.shape[1] != 3:
        raise PipelineError(f"a transform of colors needs 3 channels; the clips have {clips.shape[1]}")
