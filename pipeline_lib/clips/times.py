"""The times of a video's frames, as ffmpeg's filter `metadata` prints them."""

import re

import numpy as np

LINE = re.compile(rb"frame:\d+ +pts:(-?\d+) +pts_time:(-?[\d.]+)")
# The largest step between frames relative to the smallest, of a constant rate that was rounded to milliseconds.
EVEN = 1.5


def frame_times(lines: bytes) -> np.ndarray:
    """The seconds of all frames, float64, in the order of the video; frames without a time are omitted."""
    return np.array([float(match[2]) for match in LINE.finditer(lines)])


def evenly_spaced(lines: bytes) -> bool:
    """Whether the frames follow each other at a constant rate, so that none is missing between them."""
    steps = np.diff(frame_times(lines))
    return len(steps) > 0 and steps.min() > 0 and steps.max() <= EVEN * steps.min()


def reaches(lines: bytes, end: float | None) -> bool:
    """Whether the frames reach the end of an interval, to within a step; False without an end."""
    times = frame_times(lines)
    if end is None or len(times) < 2:
        return False
    return bool(times[-1] + EVEN * np.diff(times).max() >= end)
