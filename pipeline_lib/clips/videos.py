"""Exact decoding of videos to clips with ffmpeg: all frames are decoded, and their number determines the clip."""

import dataclasses
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.clips.binary import ffmpeg_version
from pipeline_lib.clips.decode import Decoding, failed, in_order
from pipeline_lib.clips.ffmpeg_process import Limits, Output, Received, Request, descriptors, run_ffmpeg
from pipeline_lib.clips.sampling import Sampling
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.jobs.limits import workers_within_open_files

# The boxes of MP4 and QuickTime files that contain frames. Other data may follow the last one.
BOXES_WITH_FRAMES = (b"moov", b"moof", b"mdat")


@method
class VideoFiles:
    """Video files: clips of `size` x `size` pixels, and the sampling that chooses their frames."""

    size: Count
    sampling: Sampling

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.sampling.frames, self.size, self.size, 3

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of `paths` in their order, from `workers` ffmpeg processes at a time."""
        step = decoding.videos_per_process
        processes = workers_within_open_files(workers, descriptors(step), f"an ffmpeg process of {step} videos")
        return in_order(lambda some: decode_batch(some, self, decoding), paths, step, processes)

    def described(self) -> dict[str, Any]:
        """The fields as plain data; a sampling that is not a dataclass is given by its repr."""
        sampling: Any = self.sampling
        fields = dataclasses.asdict(sampling) if dataclasses.is_dataclass(type(sampling)) else {"repr": repr(sampling)}
        return {"size": self.size, "sampling": {"method": type(sampling).__name__, **fields}}

    def program(self) -> str:
        return f"ffmpeg {ffmpeg_version()}"


def decode_batch(paths: Sequence[Path], spec: VideoFiles, decoding: Decoding) -> list[DecodedClip]:
    """The clips of a few videos from one process; from one process each after any error.

    The exit code and the error lines of a process that decodes several videos do not identify the faulty one.
    """
    if len(paths) > 1 and all(path.is_file() for path in paths):
        output = decode_exactly(paths, spec, decoding)
        if output.code == 0 and not output.errors:
            return [
                clip_of(path, video, output, spec, decoding) for path, video in zip(paths, output.videos, strict=True)
            ]
    return [decode_one(path, spec, decoding) for path in paths]


def decode_one(path: Path, spec: VideoFiles, decoding: Decoding) -> DecodedClip:
    """The clip of one video from a separate process."""
    if not path.exists():
        return failed(spec.shape, "the file does not exist")
    if not path.is_file():
        # Opening a named pipe would wait until the deadline.
        return failed(spec.shape, "not a regular file")
    output = decode_exactly([path], spec, decoding)
    output = dataclasses.replace(output, errors=reproducible(output.errors, path))
    return clip_of(path, output.videos[0], output, spec, decoding)


def reproducible(errors: str, path: Path) -> str:
    """Error lines sorted, and without addresses, folders and pipe numbers, so that they are reproducible."""
    text = re.sub(r" @ 0x[0-9a-f]+|(?<=pipe):\d+", "", errors.replace(f"file:{path.absolute()}", path.name))
    return "\n".join(sorted(set(text.splitlines())))


def decode_exactly(paths: Sequence[Path], spec: VideoFiles, decoding: Decoding) -> Output:
    """The frames that the sampling chooses by each video's true number of frames.

    Scaling and sending every frame would nearly double the time. So the first run selects frames by the number in the
    header (1 if there is none) and counts all frames; videos of another count are decoded a second time.
    """
    guesses = [frames_in_header(path) or 1 for path in paths]
    first = run(paths, guesses, spec, decoding)
    wrong = [
        place
        for place, (video, guess) in enumerate(zip(first.videos, guesses, strict=True))
        if video.count != guess and 0 < video.count <= decoding.max_frames
    ]
    if not wrong or first.code is None:
        return first
    second = run([paths[place] for place in wrong], [first.videos[place].count for place in wrong], spec, decoding)
    videos = list(first.videos)
    for place, video in zip(wrong, second.videos, strict=True):
        # A video whose two decodings differ in the number of frames has failed.
        videos[place] = video if video.count == videos[place].count else Received(video.frames[:0], 0)
    return Output(videos, None if second.code is None else first.code or second.code, first.errors or second.errors)


def run(paths: Sequence[Path], counts: Sequence[int], spec: VideoFiles, decoding: Decoding) -> Output:
    """One ffmpeg process for the frames that the sampling chooses if the videos have `counts` frames."""
    requests = [Request(path, np.unique(spec.sampling(count))) for path, count in zip(paths, counts, strict=True)]
    return run_ffmpeg(requests, spec.size, Limits(decoding.max_pixels, decoding.max_frames, decoding.deadline))


def clip_of(path: Path, video: Received, output: Output, spec: VideoFiles, decoding: Decoding) -> DecodedClip:
    """The clip of a video with its status; `output` is the output of the process that decoded it."""
    reason = why_failed(video, output, decoding)
    if reason:
        return failed(spec.shape, reason)
    index = spec.sampling(video.count)
    chosen, places = np.unique(index, return_inverse=True)
    if len(video.frames) != len(chosen):
        return failed(spec.shape, f"{len(video.frames)} frames were decoded where {len(chosen)} were requested")
    # Planes G, B, R to pixels R, G, B.
    frames = np.ascontiguousarray(video.frames[places][:, [2, 0, 1]].transpose(0, 2, 3, 1))
    return DecodedClip(frames, index, *judgement(path, video.count, len(index), output))


def why_failed(video: Received, output: Output, decoding: Decoding) -> str:
    """The reason why there is no clip; empty when there is one."""
    if output.code is None:
        return f"ffmpeg took longer than the deadline of {decoding.deadline:g} s"
    if video.count == 0:
        return output.errors or f"no frames (ffmpeg ended with {output.code})"
    if video.count > decoding.max_frames:
        return f"more than max_frames = {decoding.max_frames} frames"
    return ""


def judgement(path: Path, count: int, frames: int, output: Output) -> tuple[Status, str]:
    """Status and message of a video with `count` >= 1 frames, of which `frames` were requested."""
    expected = frames_in_header(path) or 0
    if output.code != 0 or output.errors:
        return Status.DAMAGED, output.errors or f"ffmpeg ended with {output.code}"
    # Intact AVI files may have a frame or two fewer than the header states.
    if count < expected - max(2, expected // 50):
        return Status.TRUNCATED, f"{count} frames, but the header states {expected}"
    missing = bytes_cut_off(path)
    if missing:
        return Status.TRUNCATED, f"{count} frames, but {missing} bytes are missing at the end of the file"
    if count < frames:
        return Status.SHORT, f"{count} frames"
    return Status.OK, ""


def frames_in_header(path: Path) -> int | None:
    """The number of frames that an AVI file's main header states; None for other files. A hint, not a count."""
    with path.open("rb") as file:
        head = file.read(52)
    if len(head) < 52 or (head[:4], head[8:12], head[24:28]) != (b"RIFF", b"AVI ", b"avih"):
        return None
    return int(struct.unpack_from("<I", head, 48)[0])


def bytes_cut_off(path: Path) -> int:
    """How many bytes an MP4 or QuickTime file lacks by the sizes of its boxes; 0 for other files.

    ISO/IEC 14496-12, 4.2: size 1 means that a 64-bit size follows the name, size 0 that the box extends to the end.
    """
    start, end = 0, path.stat().st_size
    with path.open("rb") as file:
        while start + 8 <= end:
            file.seek(start)
            short, name, long = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
            size = {0: end - start, 1: long}.get(short, short)
            if name in BOXES_WITH_FRAMES and start + size > end:
                return int(start + size - end)
            start += max(size, 8)
    return 0
