"""Decoding videos to clips with ffmpeg, exactly: every frame is decoded, and the true count chooses the frames."""

import dataclasses
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.clips.binary import ffmpeg_version
from pipeline_lib.clips.ffmpeg_process import Output, run_ffmpeg
from pipeline_lib.clips.sampling import Sampling
from pipeline_lib.clips.splits import Lists
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store_writer import write_store


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What a clip is: `size` x `size` pixels, and the sampling that chooses its frames."""

    size: int
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How videos are decoded; none of it changes a clip.

    videos_per_process: starting ffmpeg costs more than decoding a short video, so one process takes several.
    deadline: seconds for one process. max_pixels: largest width x height. max_frames: longest video; all its frames at
    clip size are held in memory at once. tolerate: videos (paths as in the lists) that may fail; they are left out.
    """

    videos_per_process: int = 8
    deadline: float = 120.0
    max_pixels: int = 4096 * 4096
    max_frames: int = 10_000
    tolerate: list[str] = field(default_factory=list)


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
    and `decoding`. PipelineError names a list that is wrong, or the videos that failed and are not in
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

    At most two batches per worker are in memory.
    """
    step = decoding.videos_per_process
    batches = (paths[start : start + step] for start in range(0, len(paths), step))
    pending: deque[Future[list[DecodedClip]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for batch in batches:
            pending.append(pool.submit(decode_batch, batch, spec, decoding))
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
    regular = [path for path in paths if path.is_file()]
    if len(regular) == len(paths) > 1:
        output = run(paths, spec, decoding)
        if output.code == 0 and not output.errors:
            return [
                clip_of(path, Output([frames], 0, ""), spec, decoding)
                for path, frames in zip(paths, output.videos, strict=True)
            ]
    return [decode_one(path, spec, decoding) for path in paths]


def decode_one(path: Path, spec: ClipSpec, decoding: Decoding) -> DecodedClip:
    """The clip of one video from a process of its own."""
    if not path.exists():
        return failed(spec, "the file does not exist")
    if not path.is_file():
        # Opening a named pipe would wait until the deadline.
        return failed(spec, "not a regular file")
    return clip_of(path, run([path], spec, decoding), spec, decoding)


def run(paths: Sequence[Path], spec: ClipSpec, decoding: Decoding) -> Output:
    """Run ffmpeg; it stops one frame past the longest video allowed."""
    return run_ffmpeg(paths, spec.size, decoding.max_pixels, decoding.max_frames + 1, decoding.deadline)


def clip_of(path: Path, output: Output, spec: ClipSpec, decoding: Decoding) -> DecodedClip:
    """Choose the frames of the clip from all frames of the video, and say what went wrong."""
    count = len(output.videos[0]) // (3 * spec.size**2)
    reason = why_failed(output, count, decoding)
    if reason:
        return failed(spec, reason)
    index = spec.sampling(count)
    return DecodedClip(
        rgb_frames(output.videos[0], index, spec.size), index, *judgement(path, output, count, len(index))
    )


def rgb_frames(video: bytearray, index: np.ndarray, size: int) -> np.ndarray:
    """Frames (T, H, W, 3) RGB of the numbers `index` from a video of planes G, B, R."""
    green_blue_red = np.frombuffer(video, np.uint8, len(video) // (3 * size**2) * 3 * size**2).reshape(
        -1, 3, size, size
    )
    return np.ascontiguousarray(green_blue_red[index][:, [2, 0, 1]].transpose(0, 2, 3, 1))


def why_failed(output: Output, count: int, decoding: Decoding) -> str:
    """Why there is no clip; empty when there is one."""
    if output.code is None:
        return f"ffmpeg took longer than the deadline of {decoding.deadline:g} s"
    if count == 0:
        return output.errors or "no frames"
    if count > decoding.max_frames:
        return f"more than max_frames = {decoding.max_frames} frames"
    return ""


def judgement(path: Path, output: Output, count: int, frames: int) -> tuple[Status, str]:
    """Status and message of a video with `count` >= 1 frames, of which `frames` were asked for."""
    promised = frames_in_header(path)
    if output.code != 0 or output.errors:
        return Status.DAMAGED, output.errors or f"ffmpeg ended with {output.code}"
    # Real files miss their header's number by a frame or two.
    if promised is not None and count < promised - max(2, promised // 50):
        return Status.TRUNCATED, f"{count} frames, but the header says {promised}"
    if count < frames:
        return Status.SHORT, f"{count} frames"
    return Status.OK, ""


def frames_in_header(path: Path) -> int | None:
    """The number of frames that an AVI file's main header states; None for other files. A bound, not a count."""
    with path.open("rb") as file:
        head = file.read(52)
    if len(head) < 52 or head[:4] != b"RIFF" or head[8:12] != b"AVI " or head[24:28] != b"avih":
        return None
    return int(struct.unpack_from("<I", head, 48)[0])


def failed(spec: ClipSpec, message: str) -> DecodedClip:
    """The clip of a video that gave none: black, with the frame number -1."""
    frames = spec.sampling.frames
    black = np.zeros((frames, spec.size, spec.size, 3), np.uint8)
    return DecodedClip(black, np.full(frames, -1), Status.FAILED, message)
