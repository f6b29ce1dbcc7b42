"""Clips as batches of pictures and back, for what works on single frames.

Clips are (N, C, T, H, W), or images (N, C, H, W), which count as clips of one frame.
"""

import torch
from torch import Tensor


def frames_of(clips: Tensor) -> int:
    """The number of frames of each clip."""
    return clips.shape[2] if clips.dim() == 5 else 1


def as_pictures(clips: Tensor) -> Tensor:
    """(N, C, T, H, W) or (N, C, H, W) -> (N * T, C, H, W)."""
    return clips if clips.dim() == 4 else clips.transpose(1, 2).flatten(0, 1)


def as_clips(pictures: Tensor, like: Tensor) -> Tensor:
    """The inverse of `as_pictures`, for clips with as many dimensions and frames as `like`."""
    return pictures if like.dim() == 4 else pictures.unflatten(0, (len(like), -1)).transpose(1, 2)


def per_picture(values: Tensor, like: Tensor) -> Tensor:
    """(N, ...) -> (N * T, ...): the values of each clip for all of its frames."""
    return values.repeat_interleave(frames_of(like), dim=0)


def as_bytes(clips: Tensor) -> Tensor:
    """The nearest 8-bit values."""
    return (clips.detach() * 255).round_().clamp_(0, 255).to(torch.uint8)
