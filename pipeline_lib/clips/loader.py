"""From clips on disk, (N, T, H, W, C) uint8, to clips in networks, (N, C, T, H, W) float32 in [0, 1], and back."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def as_clips(frames: np.ndarray, device: torch.device | str) -> Tensor:
    """Frames (N, T, H, W, C) uint8 as clips (N, C, T, H, W) float32 in [0, 1] on the device.

    They travel to the device as bytes, a quarter of the size.
    """
    return torch.from_numpy(frames).to(device).permute(0, 4, 1, 2, 3).float().div_(255)


def as_frames(clips: Tensor) -> np.ndarray:
    """Clips (N, C, T, H, W) in [0, 1] rounded to frames (N, T, H, W, C) uint8; the exact inverse of `as_clips`."""
    levels = clips.detach().float().mul(255).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()


def batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive parts of `rows` of `size`; the last may be shorter."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
