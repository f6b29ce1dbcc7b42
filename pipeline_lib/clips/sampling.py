"""Selects the frames of a clip: functions from a video's number of frames to frame numbers."""

from typing import Protocol

import numpy as np

from pipeline_lib.entries.ranges import Count, method


class Sampling(Protocol):
    """Maps the number of frames in a video (>= 1) to smaller frame numbers, int64 (frames,)."""

    @property
    def frames(self) -> int: ...

    def __call__(self, count: int) -> np.ndarray: ...


@method
class UniformStride:
    """Every (count // frames)-th frame from the first; shorter videos are looped (the four papers' protocol).

    frames: number of frames of a clip (the papers: 40).
    """

    frames: Count

    def __call__(self, count: int) -> np.ndarray:
        return looped(np.arange(self.frames) * max(1, count // self.frames), count)


@method
class Linspace:
    """Evenly spaced from the first frame to the last, rounded; shorter videos repeat frames in order.

    frames: number of frames of a clip.
    """

    frames: Count

    def __call__(self, count: int) -> np.ndarray:
        return looped(np.rint(np.linspace(0, count - 1, self.frames)).astype(np.int64), count)


@method
class CenterWindow:
    """Every stride-th frame of a window in the middle; shorter videos are looped from their first frame.

    frames: number of frames of a clip.
    stride: distance of two sampled frames in the video.
    """

    frames: Count
    stride: Count = 1

    def __call__(self, count: int) -> np.ndarray:
        span = (self.frames - 1) * self.stride + 1
        start = max(0, (count - span) // 2)
        return looped(start + np.arange(self.frames) * self.stride, count)


def looped(index: np.ndarray, count: int) -> np.ndarray:
    """Frame numbers modulo `count`: after its end the video repeats. ValueError for a video without frames."""
    if count < 1:
        raise ValueError(f"a video has at least one frame, not {count}")
    return index.astype(np.int64) % count
