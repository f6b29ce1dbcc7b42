"""Which video stream of a file is decoded, as players choose."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline_lib.clips.messages import VideoStream
from pipeline_lib.ffmpeg_binary import ffmpeg_binary
from pipeline_lib.jobs.logs import LOGGER

# A stream with fewer pixels in all its frames than this part of the largest stream is a thumbnail.
SMALLEST_PART = 0.1


def shown(streams: Sequence[VideoStream]) -> list[VideoStream]:
    """The streams that are not covers, nor other attached pictures."""
    return [stream for stream in streams if stream.shown]


def main_stream(
    path: Path, streams: Sequence[VideoStream], containers: str, deadline: float
) -> tuple[VideoStream, int]:
    """The stream to decode of two or more that are shown, and its number of packets; the choice is logged.

    Thumbnails are omitted; then a stream that the file marks as default precedes, then the largest frames, then the
    most packets, then the first.
    """
    counts = packets(path, [stream.number for stream in streams], containers, deadline)
    pixels = {stream: stream.width * stream.height * counts[stream.number] for stream in streams}
    large = [stream for stream in streams if pixels[stream] >= SMALLEST_PART * max(pixels.values())]
    chosen = max(large, key=lambda stream: (stream.default, stream.width * stream.height, counts[stream.number]))
    LOGGER.info(
        "%s: of %d video streams (%s) stream %d is decoded",
        path.name,
        len(streams),
        "; ".join(f"{one.number}: {one.width} x {one.height}, {counts[one.number]} packets" for one in streams),
        chosen.number,
    )
    return chosen, counts[chosen.number]


def packets(path: Path, numbers: Sequence[int], containers: str, deadline: float) -> dict[int, int]:
    """The number of packets of each of these streams, read without decoding; 0 for all where that fails."""
    command = [
        ffmpeg_binary(),
        "-nostdin",
        "-v",
        "error",
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        containers,
    ]
    command += ["-i", f"file:{path.absolute()}"]
    for number in numbers:
        command += ["-map", f"0:{number}"]
    command += ["-c", "copy", "-f", "framecrc", "pipe:1"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(numbers, 0)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(b"#")]
    places = [int(line.split(b",", 1)[0]) for line in lines]
    return {number: places.count(place) for place, number in enumerate(numbers)}
