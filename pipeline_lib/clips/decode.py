"""Decodes the files of a data set to a store of clips, with one decoder for each kind of file."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline_lib.clips.splits import Lists
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store_writer import FAILURES_REPORTED, write_store
from pipeline_lib.entries.ranges import Count, Positive, method
from pipeline_lib.errors import PipelineError


@method
class Decoding:
    """Limits and batching of decoding; they do not change the decoded clips.

    videos_per_process: starting ffmpeg can cost more than decoding a short video, so one process takes several.
    deadline: seconds for one process. max_pixels: largest width x height, of images too. max_frames: longest video.
    tolerate: videos or images (paths as in the lists) that may fail; if they do, they are omitted.
    """

    videos_per_process: Count = 8
    deadline: Positive = 120.0
    max_pixels: Count = 4096 * 4096
    max_frames: Count = 100_000
    tolerate: list[str] = field(default_factory=list)


class Decoder(Protocol):
    """Decodes one kind of file to clips: videos, images, or records of a larger file."""

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
    items = lists.read(root, split)
    folder = lists.video_root(root)
    require_present([item.path for item in items if item.path not in decoding.tolerate], folder, split)
    write_store(
        out,
        items,
        decoder.decode([folder / item.path for item in items], decoding, workers),
        shape=decoder.shape,
        classes=lists.class_names(root),
        spec=decoder.described(),
        decoder=decoder.program(),
        tolerate=decoding.tolerate,
        progress=progress,
    )


def require_present(paths: Sequence[str], folder: Path, split: str) -> None:
    """PipelineError with the missing files of a list, before decoding, which can take hours. A path may continue below
    a file: it is then a record of this file."""
    missing = [path for path in paths if not (folder / path).is_file() and not (folder / path).parent.is_file()]
    if missing:
        named = "".join(f"\n  {path}" for path in missing[:FAILURES_REPORTED])
        raise PipelineError(
            f"{len(missing)} of the {len(paths)} files in the {split} list do not exist below {folder}:{named}\n"
            "Get them again, or list them under `decoding.tolerate` to omit them."
        )


def in_order(
    decode: Callable[[Sequence[Path]], list[DecodedClip]], paths: Sequence[Path], step: int, workers: int
) -> Iterator[DecodedClip]:
    """The clips of `paths` in their order, `step` paths per call of `decode`, from `workers` threads.

    At most about 2 * `step` clips per worker are in memory.
    """
    pending: deque[Future[list[DecodedClip]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for start in range(0, len(paths), step):
            pending.append(pool.submit(decode, paths[start : start + step]))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def failed(shape: Sequence[int], message: str) -> DecodedClip:
    """The clip of a file that could not be decoded: black, with frame number -1."""
    return DecodedClip(np.zeros(shape, np.uint8), np.full(shape[0], -1, np.int64), Status.FAILED, message)
