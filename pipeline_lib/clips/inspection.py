"""What would be decoded of single files: status, streams and number of frames."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.clips.decode import Decoding, Part
from pipeline_lib.clips.exact import decode_exactly
from pipeline_lib.clips.ffmpeg_command import FIRST_VIDEO
from pipeline_lib.clips.folders import is_image
from pipeline_lib.clips.images import ImageFiles
from pipeline_lib.clips.messages import VideoStream
from pipeline_lib.clips.readable import why_unreadable
from pipeline_lib.clips.status import Status
from pipeline_lib.clips.videos import VideoFiles, clip_of, first_request, reproducible

# In the name of a pixel format: the bits of a channel, as in yuv420p10le.
DEEP = re.compile(r"p?(9|10|12|14|16)(?:le|be)$")


@dataclass(frozen=True)
class Inspection:
    """The result for one file. container: ffmpeg's name, or `image`. chosen: the place of the decoded stream."""

    path: Path
    status: Status
    message: str
    frames: int = 0
    container: str = ""
    streams: tuple[VideoStream, ...] = ()
    chosen: int = 0

    @property
    def kind(self) -> str:
        """Container, codec and size in words; empty if there is none."""
        if not self.streams:
            return self.container
        stream = self.streams[self.chosen]
        return f"{self.container.split(',')[0]}/{stream.codec} {stream.width}x{stream.height} {stream.pixels}"

    @property
    def notes(self) -> list[str]:
        """What happens to the frames besides resizing, and which of several streams is decoded."""
        deep = DEEP.search(self.streams[self.chosen].pixels) if self.streams else None
        notes = [f"{deep[1]} bits per channel, reduced to 8"] if deep else []
        if len(self.streams) > 1:
            others = "; ".join(
                f"{stream.number}: {stream.codec} {stream.width}x{stream.height}{'' if stream.shown else ' (cover)'}"
                for stream in self.streams
            )
            notes.append(f"stream {self.streams[self.chosen].number} of the video streams {others}")
        return notes + self.message.splitlines()


def inspected(paths: Sequence[Path], spec: VideoFiles, decoding: Decoding, workers: int) -> Iterator[Inspection]:
    """The results in the order of the paths, from `workers` threads."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda path: inspect(path, spec, decoding), paths)


def inspect(path: Path, spec: VideoFiles, decoding: Decoding) -> Inspection:
    """The result for one video or image."""
    if reason := why_unreadable(path):
        return Inspection(path, Status.FAILED, reason)
    return inspect_image(path, spec.size, decoding) if is_image(path) else inspect_video(path, spec, decoding)


def inspect_image(path: Path, size: int, decoding: Decoding) -> Inspection:
    [clip] = ImageFiles(size=size, resize=True, convert=True).decode([path], decoding, 1)
    return Inspection(path, clip.status, clip.message, int(clip.status is not Status.FAILED), "image")


def inspect_video(path: Path, spec: VideoFiles, decoding: Decoding) -> Inspection:
    request = first_request(Part(path), spec)
    output, [request] = decode_exactly([request], spec.size, spec.sampling, spec.limits(decoding))
    output = dataclasses.replace(output, errors=reproducible(output.errors, path))
    [video] = output.videos
    clip = clip_of(request, video, output, spec, decoding)
    shown = [place for place, stream in enumerate(video.streams) if stream.shown] or [0]
    chosen = shown[0]
    if request.stream != FIRST_VIDEO:
        chosen = next(place for place, stream in enumerate(video.streams) if str(stream.number) == request.stream)
    return Inspection(path, clip.status, clip.message, video.count, video.container, video.streams, chosen)
