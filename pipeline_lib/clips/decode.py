"""Decoding videos to clips with ffmpeg, exactly: all frames are decoded and counted, and the count chooses the clip."""

import dataclasses
import re
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.clips.binary import ffmpeg_version
from pipeline_lib.clips.ffmpeg_process import Limits, Output, Received, Request, run_ffmpeg
from pipeline_lib.clips.sampling import Sampling
from pipeline_lib.clips.splits import Lists
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What a clip is: `size` x `size` pixels, and the sampling that chooses its frames."""

    size: int
    sampling: Sampling

    def __post_init__(self) -> None:
        if self.size < 1 or self.sampling.frames < 1:
            raise PipelineError(f"size: {self.size} and frames: {self.sampling.frames} must both be at least 1.")


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How videos are decoded; none of it changes a clip.

    videos_per_process: starting ffmpeg can cost more than decoding a short video, so one process takes several.
    deadline: seconds for one process. max_pixels: largest width x height. max_frames: longest video. tolerate: videos
    (paths as in the lists) that may fail; they are left out.
    """

    videos_per_process: int = 8
    deadline: float = 120.0
    max_pixels: int = 4096 * 4096
    max_frames: int = 100_000
    tolerate: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.videos_per_process < 1:
            raise PipelineError(f"decoding.videos_per_process: {self.videos_per_process} must be at least 1.")


def decode_to_store(
    out: Path,
    root: Path,
    part: str,
    lists: Lists,
    spec: ClipSpec,
    decoding: Decoding,
    workers: int,
    progress: Callable[[int], None] = lambda finished: None,
) -> None:
    """Decode a part ("train" or "test") of the data set below `root` to the store `out`.

    `progress` is called with the number of finished videos. The file is the same, byte for byte, whatever `workers`
    and `decoding`. PipelineError names the place in a list that is wrong, or the videos that failed and are not in
    `decoding.tolerate`.
    """
    videos = lists.read(root, part)
    paths = [lists.video_root(root) / video.path for video in videos]
    write_store(
        out,
        videos,
        decode_videos(paths, spec, decoding, workers),
        shape=(spec.sampling.frames, spec.size, spec.size, 3),
        classes=lists.class_names(root),
        spec=described(spec),
        ffmpeg=ffmpeg_version(),
        tolerate=decoding.tolerate,
        progress=progress,
    )


def described(spec: ClipSpec) -> dict[str, Any]:
    """The spec as plain data; of a sampling that is no dataclass, its repr."""
    sampling: Any = spec.sampling
    fields = dataclasses.asdict(sampling) if dataclasses.is_dataclass(type(sampling)) else {"repr": repr(sampling)}
    return {"size": spec.size, "sampling": {"method": type(sampling).__name__, **fields}}


def decode_videos(paths: Sequence[Path], spec: ClipSpec, decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
    """The clips of `paths` in their order, from `workers` ffmpeg processes at a time.

    No more than about two batches of `videos_per_process` clips for each worker are in memory.
    """
    step = decoding.videos_per_process
    pending: deque[Future[list[DecodedClip]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for start in range(0, len(paths), step):
            pending.append(pool.submit(decode_batch, paths[start : start + step], spec, decoding))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def decode_batch(paths: Sequence[Path], spec: ClipSpec, decoding: Decoding) -> list[DecodedClip]:
    """The clips of a few videos from one process; from one process each when anything at all went wrong.

    The exit code and the error lines of a process that decodes several videos do not say which one is at fault.
    """
    if len(paths) > 1 and all(path.is_file() for path in paths):
        output = decode_exactly(paths, spec, decoding)
        if output.code == 0 and not output.errors:
            return [
                clip_of(path, video, output, spec, decoding) for path, video in zip(paths, output.videos, strict=True)
            ]
    return [decode_one(path, spec, decoding) for path in paths]


def decode_one(path: Path, spec: ClipSpec, decoding: Decoding) -> DecodedClip:
    """The clip of one video from a process of its own."""
    if not path.exists():
        return failed(spec, "the file does not exist")
    if not path.is_file():
        # Opening a named pipe would wait until the deadline.
        return failed(spec, "not a regular file")
    output = decode_exactly([path], spec, decoding)
    output = dataclasses.replace(output, errors=reproducible(output.errors, path))
    return clip_of(path, output.videos[0], output, spec, decoding)


def reproducible(errors: str, path: Path) -> str:
    """Error lines in an order, and without addresses, folders and pipe numbers: the same every time."""
    text = re.sub(r" @ 0x[0-9a-f]+|(?<=pipe):\d+", "", errors.replace(f"file:{path.absolute()}", path.name))
    return "\n".join(sorted(set(text.splitlines())))


def decode_exactly(paths: Sequence[Path], spec: ClipSpec, decoding: Decoding) -> Output:
    """The frames that the sampling chooses by each video's true number of frames.

    Scaling and sending every frame would nearly double the time. So the first run takes the frames that fit the number
    in the header (1 where there is none) and counts all frames; videos of another count are decoded once more.
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
        # A video that does not decode twice to the same number is none.
        videos[place] = video if video.count == videos[place].count else Received(video.frames[:0], 0)
    return Output(videos, None if second.code is None else first.code or second.code, first.errors or second.errors)


def run(paths: Sequence[Path], counts: Sequence[int], spec: ClipSpec, decoding: Decoding) -> Output:
    """One ffmpeg process for the frames that the sampling chooses if the videos have `counts` frames."""
    requests = [Request(path, np.unique(spec.sampling(count))) for path, count in zip(paths, counts, strict=True)]
    return run_ffmpeg(requests, spec.size, Limits(decoding.max_pixels, decoding.max_frames, decoding.deadline))


def clip_of(path: Path, video: Received, output: Output, spec: ClipSpec, decoding: Decoding) -> DecodedClip:
    """The clip of a video with its status; `output` is that of the process that decoded it."""
    reason = why_failed(video, output, decoding)
    if reason:
        return failed(spec, reason)
    index = spec.sampling(video.count)
    wanted, places = np.unique(index, return_inverse=True)
    if len(video.frames) != len(wanted):
        return failed(spec, f"{len(video.frames)} frames came where {len(wanted)} were asked for")
    # Planes G, B, R to pixels R, G, B.
    frames = np.ascontiguousarray(video.frames[places][:, [2, 0, 1]].transpose(0, 2, 3, 1))
    return DecodedClip(frames, index, *judgement(path, video.count, len(index), output))


def why_failed(video: Received, output: Output, decoding: Decoding) -> str:
    """Why there is no clip; empty when there is one."""
    if output.code is None:
        return f"ffmpeg took longer than the deadline of {decoding.deadline:g} s"
    if video.count == 0:
        return output.errors or f"no frames (ffmpeg ended with {output.code})"
    if video.count > decoding.max_frames:
        return f"more than max_frames = {decoding.max_frames} frames"
    return ""


def judgement(path: Path, count: int, frames: int, output: Output) -> tuple[Status, str]:
    """Status and message of a video with `count` >= 1 frames, of which `frames` were asked for."""
    promised = frames_in_header(path) or 0
    if output.code != 0 or output.errors:
        return Status.DAMAGED, output.errors or f"ffmpeg ended with {output.code}"
    # Healthy AVI files may miss their header's number by a frame or two.
    if count < promised - max(2, promised // 50):
        return Status.TRUNCATED, f"{count} frames, but the header says {promised}"
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


def failed(spec: ClipSpec, message: str) -> DecodedClip:
    """The clip of a video that gave none: black, with the frame number -1."""
    frames = spec.sampling.frames
    black = np.zeros((frames, spec.size, spec.size, 3), np.uint8)
    return DecodedClip(black, np.full(frames, -1, np.int64), Status.FAILED, message)
