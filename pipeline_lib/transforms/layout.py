"""Clips as plain pictures and back, for transforms that treat frames (and channels) one by one.

Clips are (N, C, T, H, W) or images (N, C, H, W), float32 in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline_lib.errors import PipelineError

Pictures = Callable[[Tensor], Tensor]


def on_planes(function: Pictures, clips: Tensor) -> Tensor:
    """Applies a function of gray pictures (M, 1, H, W) to every channel of every frame."""
    return function(clips.reshape(-1, 1, *clips.shape[-2:])).reshape(clips.shape)


def on_frames(function: Pictures, clips: Tensor) -> Tensor:
    """Applies a function of pictures (M, C, H, W) to every frame."""
    if clips.dim() == 4:
        return function(clips)
    clips = clips.transpose(1, 2)
    frames = function(clips.reshape(-1, *clips.shape[2:]))
    return frames.reshape(clips.shape).transpose(1, 2).contiguous()


def mirrored(pictures: Tensor, margin: int) -> Tensor:
    """A margin of pixels mirrored at the outermost ones, which are not repeated.

    Raises:
        PipelineError: the pictures are not larger than the margin.
    """
    height, width = pictures.shape[-2:]
    if margin >= min(height, width):
        raise PipelineError(f"a transform reaches {margin} pixels far, frames are {height} x {width}: make it smaller")
    # By indices: the gradient of `pad` has no deterministic form on a GPU.
    rows, columns = (_mirror(size, margin, pictures.device) for size in (height, width))
    return pictures[..., rows, :][..., columns]


def _mirror(size: int, margin: int, device: torch.device) -> Tensor:
    """The places 0 ... size - 1, with `margin` more on each side, counted back."""
    places = torch.arange(-margin, size + margin, device=device).abs()
    return torch.minimum(places, 2 * (size - 1) - places)


def without_rounding(clips: Tensor) -> Tensor:
    """Takes away what rounding of averages left outside [0, 1]; unlike clamp, it lets the gradient pass there."""
    return clips + (clips.clamp(0, 1) - clips).detach()


def as_bytes(clips: Tensor) -> Tensor:
    """The nearest 8-bit values."""
    return (clips.detach() * 255).round_().clamp_(0, 255).to(torch.uint8)


def require_rgb(clips: Tensor) -> None:
    """Raises PipelineError unless the clips have three channels."""
    if clips.shape[1] != 3:
        raise PipelineError(f"a transform of colors meets clips with {clips.shape[1]} channels; it needs 3")
