"""Decodes the files of a data set to a store of clips, with one decoder for each kind of file."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from pipeline_lib.clips.containers import require_known
from pipeline_lib.clips.outcomes import recorded, report
from pipeline_lib.clips.readable import problem, require_present
from pipeline_lib.clips.splits import Lists, Video
from pipeline_lib.clips.status import DecodedClip, Status, printable
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.entries.ranges import Count, Positive, method
from pipeline_lib.errors import PipelineError

T = TypeVar("T")


@method
class Decoding:
    """Limits and batching of decoding; they do not change the decoded clips.

    videos_per_process: starting ffmpeg can cost more than decoding a short video, so one process takes several.
    deadline: seconds for one process. max_pixels: largest width x height, of images too. max_frames: longest video.
    tolerate: videos or images (paths as in the lists) that may fail; if they do, they are omitted. containers: names of
    containers that are decoded besides those of `containers.DEFAULT`.
    """

    videos_per_process: Count = 8
    deadline: Positive = 120.0
    max_pixels: Count = 4096 * 4096
    max_frames: Count = 100_000
    tolerate: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_known(self.containers)


@dataclass(frozen=True)
class Part:
    """A video file, or its frames at `start` <= time < `end` (seconds)."""

    path: Path
    start: float | None = None
    end: float | None = None


class Decoder(Protocol):
    """Decodes one kind of file to clips: videos, images, or records of a larger file.

    Optional: `decode_parts`, as `decode`, of `Part`s with an interval; `problem(path)`, what is wrong with a listed
    path (None if nothing is), where it is no regular file; `clips_per_video`, if `decode` gives several of each path.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3) of every clip; T is 1 for images."""
        ...

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of `paths` in their order, independent of `workers`; the status marks files that failed."""
        ...

    def described(self) -> dict[str, Any]:
        """The settings that determine the clips, as plain data for the store."""
        ...

    def program(self) -> str:
        """Name and version of the decoding program."""
        ...


def decode_to_store(
    out: Path,
    root: Path,
    split: str,
    lists: Lists,
    decoder: Decoder,
    decoding: Decoding,
    workers: int,
    progress: Callable[[int], None] = lambda finished: None,
) -> None:
    """Decode a split ("train" or "test") of the data set below `root` to the store `out`.

    `progress` is called with the number of finished clips. The file is byte-identical for any `workers` and
    `decoding`. PipelineError names the line of a list that is wrong, or the files that are missing or failed and are
    not in `decoding.tolerate`.
    """
    videos = lists.read(root, split)
    items = numbered(videos, getattr(decoder, "clips_per_video", 1))
    folder = lists.video_root(root)
    listed = [item.path for item in videos if item.path not in decoding.tolerate]
    require_present(listed, folder, split, getattr(decoder, "problem", problem))
    statuses: list[Status] = []
    write_store(
        out,
        items,
        recorded(decoded(decoder, folder, videos, decoding, workers), statuses),
        shape=decoder.shape,
        classes=lists.class_names(root),
        spec=decoder.described(),
        decoder=decoder.program(),
        tolerate=decoding.tolerate,
        progress=progress,
    )
    report(f"{split} clips of {printable(str(root))}", [item.name for item in items], statuses)


def numbered(videos: Sequence[Video], clips: int) -> list[Video]:
    """The clips of videos, in their order: each video, or as many as there are clips of it."""
    if clips == 1:
        return list(videos)
    return [replace(video, clip=number + 1) for video in videos for number in range(clips)]


def decoded(
    decoder: Decoder, folder: Path, items: Sequence[Video], decoding: Decoding, workers: int
) -> Iterator[DecodedClip]:
    """The clips of listed items. PipelineError if intervals are listed and the decoder has no `decode_parts`."""
    if all(item.start is None and item.end is None for item in items):
        return decoder.decode([folder / item.path for item in items], decoding, workers)
    decode_parts = getattr(decoder, "decode_parts", None)
    if decode_parts is None:
        raise PipelineError(f"{type(decoder).__name__} decodes whole files, but the list gives `start` or `end`.")
    parts = [Part(folder / item.path, item.start, item.end) for item in items]
    return cast(Iterator[DecodedClip], decode_parts(parts, decoding, workers))


def in_order(
    decode: Callable[[Sequence[T]], list[DecodedClip]], files: Sequence[T], step: int, workers: int
) -> Iterator[DecodedClip]:
    """The clips of `files` in their order, `step` files per call of `decode`, from `workers` threads.

    At most about 2 * `step` clips per worker are in memory.
    """
    pending: deque[Future[list[DecodedClip]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for start in range(0, len(files), step):
            pending.append(pool.submit(decode, files[start : start + step]))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_turn(streams: Sequence[Iterator[DecodedClip]]) -> Iterator[DecodedClip]:
    """The first clip of each stream, then the second of each, and so on: the clips of each video in their order."""
    for clips in zip(*streams, strict=True):
        yield from clips


def failed(shape: Sequence[int], message: str) -> DecodedClip:
    """The clip of a file that could not be decoded: black, with frame number -1."""
    return DecodedClip(np.zeros(shape, np.uint8), np.full(shape[0], -1, np.int64), Status.FAILED, printable(message))
