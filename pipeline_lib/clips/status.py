"""The result of decoding one video."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Status(IntEnum):
    """Outcome of decoding one video; the worst that applies. The numbers are those in a store's `/status`.

    SHORT: fewer frames than requested, looped. TRUNCATED: far fewer frames than the file's header states. DAMAGED:
    ffmpeg reported errors; the decoded frames are kept. FAILED: no usable frames. COMPLAINED: ffmpeg reported only that
    earlier frames are missing, as in a video that was cut between key frames, and no frame is missing after the first.
    """

    OK = 0
    SHORT = 1
    TRUNCATED = 2
    DAMAGED = 3
    FAILED = 4
    COMPLAINED = 5


@dataclass(frozen=True)
class DecodedClip:
    """Frames (T, H, W, 3) uint8 RGB, their numbers in the video (T,) int64, status and message.

    A FAILED clip has black frames with the number -1. `message` is empty only when the status is OK.
    """

    frames: np.ndarray
    index: np.ndarray
    status: Status = Status.OK
    message: str = ""


def printable(text: str) -> str:
    """Text that can be written as UTF-8: bytes of file names that are not become escapes such as `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()
