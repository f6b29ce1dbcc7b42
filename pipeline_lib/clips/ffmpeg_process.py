"""One ffmpeg process that decodes several videos: it sends the requested frames, and counts all frames."""

import os
import selectors
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline_lib.clips.ffmpeg_command import Limits, Request, decoding_command
from pipeline_lib.clips.messages import VideoStream, containers, errors, inputs_that_change_size, video_streams

READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Received:
    """The requested frames that exist, (n, 3, size, size) uint8 with planes G, B, R, and the number of all frames.

    lines: what ffmpeg's filter `metadata` printed for each frame. streams: the video streams of the file.
    """

    frames: np.ndarray
    count: int
    lines: bytes = b""
    streams: tuple[VideoStream, ...] = ()
    changes_size: bool = False
    container: str = ""


@dataclass(frozen=True)
class Output:
    """The result for each video, the exit code of the process (None: killed at the deadline), and its error lines."""

    videos: list[Received]
    code: int | None
    errors: str

    @property
    def clean(self) -> bool:
        """Whether the process ended without an error."""
        return self.code == 0 and not self.errors


def run_ffmpeg(requests: Sequence[Request], size: int, limits: Limits) -> Output:
    """Decode all requested videos in one process, which is killed at the deadline."""
    pipes = [os.pipe() for _ in range(2 * len(requests))]
    readers, writers = [pair[0] for pair in pipes], [pair[1] for pair in pipes]
    try:
        process = subprocess.Popen(
            decoding_command(requests, writers, size, limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=writers,
        )
        with process:
            # Only ffmpeg then has the writing ends open: the reader sees the end of a pipe when ffmpeg closes it.
            close_all(writers)
            writers = []
            try:
                return collect(process, readers, size, limits.deadline)
            finally:
                process.kill()
    finally:
        close_all(readers + writers)


def descriptors(videos: int) -> int:
    """Largest number of files that `run_ffmpeg` opens: both ends of two pipes per video, and those for the start."""
    return 4 * videos + 6


def collect(process: subprocess.Popen[bytes], readers: Sequence[int], size: int, deadline: float) -> Output:
    """Read all pipes and stderr of a process together, so that no full pipe blocks it."""
    assert process.stderr is not None
    stderr = process.stderr.fileno()
    content = {descriptor: bytearray() for descriptor in [*readers, stderr]}
    ended = read_all(content, time.monotonic() + deadline)
    code = process.wait() if ended else None
    log = os.fsdecode(bytes(content[stderr]))
    formats = containers(log)
    streams, changing = video_streams(log), inputs_that_change_size(log, len(readers) // 2)
    videos = [
        Received(
            as_planes(content[frames], size),
            content[lines].count(b"frame:"),
            bytes(content[lines]),
            tuple(streams.get(place, ())),
            place in changing,
            formats.get(place, ""),
        )
        for place, (frames, lines) in enumerate(zip(readers[::2], readers[1::2], strict=True))
    ]
    return Output(videos, code, errors(log))


def read_all(content: dict[int, bytearray], end: float) -> bool:
    """Append the data from each descriptor until all are at their end; False when `end` is reached before."""
    with selectors.DefaultSelector() as selector:
        for descriptor in content:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > end:
                return False
            for key, _ in selector.select(max(0.0, end - time.monotonic())):
                block = os.read(key.fd, READ_SIZE)
                content[key.fd] += block
                if not block:
                    selector.unregister(key.fd)
    return True


def as_planes(content: bytearray, size: int) -> np.ndarray:
    """The whole frames in the bytes of a pipe, (n, 3, size, size)."""
    whole = len(content) // (3 * size**2)
    return np.frombuffer(content, np.uint8, whole * 3 * size**2).reshape(whole, 3, size, size)


def close_all(descriptors: Iterable[int]) -> None:
    """Close file descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
