"""From the files of a data set to its store of clips, whatever the files are: a decoder for each kind."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline_lib.clips.splits import Lists
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store_writer import FAILURES_TOLD, write_store
from pipeline_lib.entries.ranges import Count, Positive, method
from pipeline_lib.errors import PipelineError


@method
class Decoding:
    """How files are decoded; none of it changes a clip.

    videos_per_process: starting ffmpeg can cost more than decoding a short video, so one process takes several.
    deadline: seconds for one process. max_pixels: largest width x height, of images too. max_frames: longest video.
    tolerate: videos or images (paths as in the lists) that may fail; they are left out.
    """

    videos_per_process: Count = 8
    deadline: Positive = 120.0
    max_pixels: Count = 4096 * 4096
    max_frames: Count = 100_000
    tolerate: list[str] = field(default_factory=list)


class Decoder(Protocol):
    """How one kind of files becomes clips: videos, images, or records of a larger file."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3) of every clip; T is 1 for images."""
        ...

    def decode(self, paths: Sequence[Path], decoding: Decoding, workers: int) -> Iterator[DecodedClip]:
        """The clips of `paths` in their order, the same whatever `workers`; files that fail have a status."""
        ...

    def described(self) -> dict[str, Any]:
        """What a clip is, as plain data for the store."""
        ...

    def program(self) -> str:
        """The program that decodes, with its version."""
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

    `progress` is called with the number of finished clips. The file is the same, byte for byte, whatever `workers`
    and `decoding`. PipelineError names the place in a list that is wrong, or the files that are missing or failed and
    are not in `decoding.tolerate`.
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
    """Tells all files of a list that are missing, before what may be hours of decoding. A path may go on below a file:
    it is a record in it."""
    missing = [path for path in paths if not (folder / path).is_file() and not (folder / path).parent.is_file()]
    if missing:
        named = "".join(f"\n  {path}" for path in missing[:FAILURES_TOLD])
        raise PipelineError(
            f"{len(missing)} of the {len(paths)} files in the {split} list do not exist below {folder}:{named}\n"
            "Get them again, or list them under `decoding.tolerate` to leave them out."
        )


def in_order(
    decode: Callable[[Sequence[Path]], list[DecodedClip]], paths: Sequence[Path], step: int, workers: int
) -> Iterator[DecodedClip]:
    """The clips of `paths` in their order, `step` paths to a call of `decode`, from `workers` threads.

    No more than about two times `step` clips for each worker are in memory.
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
    """The clip of a file that gave none: black, with the frame number -1."""
    return DecodedClip(np.zeros(shape, np.uint8), np.full(shape[0], -1, np.int64), Status.FAILED, message)
