"""Clips as images: generators know no time."""

from torch import Tensor


def as_images(clips: Tensor) -> Tensor:
    """Images (N, C, H, W) as they are, and the frames of clips (N, C, T, H, W) as images (N * T, C, H, W)."""
    return clips if clips.dim() == 4 else clips.transpose(1, 2).flatten(0, 1)
