"""Selects the frames of a clip: functions from a video's number of frames to frame numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

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


@method
class Windows:
    """Several clips of each video, of consecutive frames: the first begins with the video, the last ends with it.

    The starts are those of Hara et al.'s validation clips, which adversarial framing (Zajac et al., 2019) is tested on:
    ceil((count - 1 - frames) / (clips - 1)) frames apart. A clip that the video is too short for is looped, as there.
    Called, it gives the first clip.

    frames: number of frames of a clip (the framing's authors: 16).
    clips: of each video (theirs: 3).
    """

    clips_by: ClassVar[str] = "clips"

    frames: Count
    clips: Count = 3

    def __call__(self, count: int) -> np.ndarray:
        return self.of_video(0, count)

    def of_video(self, number: int, count: int) -> np.ndarray:
        """The frames of one of the clips (0 is the first)."""
        step = max(0, math.ceil((count - 1 - self.frames) / max(1, self.clips - 1)))
        start = min(number * step, max(0, count - 1))
        return start + looped(np.arange(self.frames), count - start)


@dataclass(frozen=True)
class Window:
    """One of the clips that `Windows` takes of a video."""

    windows: Windows
    number: int

    @property
    def frames(self) -> int:
        return self.windows.frames

    def __call__(self, count: int) -> np.ndarray:
        return self.windows.of_video(self.number, count)


def clips_of(sampling: Sampling) -> Sequence[Sampling]:
    """The samplings of each clip of a video: one, except for `Windows`."""
    if isinstance(sampling, Windows):
        return [Window(sampling, number) for number in range(sampling.clips)]
    return [sampling]


def looped(index: np.ndarray, count: int) -> np.ndarray:
    """Frame numbers modulo `count`: after its end the video repeats. ValueError for a video without frames."""
    if count < 1:
        raise ValueError(f"a video has at least one frame, not {count}")
    return index.astype(np.int64) % count
