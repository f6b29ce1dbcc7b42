"""Writing a store of clips: whole or not at all, and the same bytes for the same clips."""

import errno
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip, Status
from pipeline_lib.clips.store import FORMAT
from pipeline_lib.errors import PipelineError
from pipeline_lib.runs import replacing

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A wrong folder fails every video: stop early. A few bad files are better told all together.
FAILURES_TOLD = 20


class Row(NamedTuple):
    """What is stored of a clip beside its frames."""

    status: Status
    message: str
    frame_numbers: np.ndarray
    crc32: int


def write_store(
    out: Path,
    videos: Sequence[Video],
    clips: Iterable[DecodedClip],
    *,
    shape: Sequence[int],
    classes: Sequence[str],
    spec: dict[str, Any],
    ffmpeg: str = "",
    tolerate: Sequence[str] = (),
    progress: Callable[[int], None] = lambda finished: None,
) -> None:
    """Write the clips, in the order of `videos` and each of `shape` = (T, H, W, C), to the store `out`.

    `progress` is called with the number of finished clips. PipelineError names the failed videos that are not in
    `tolerate`, or the bytes needed when there is no space for them; then `out` is not there.
    """
    if not videos:
        raise PipelineError(f"{out}: there are no videos to store. Check the data set's lists and `classes`.")
    with replacing(out) as temporary, h5py.File(temporary, "w") as file:
        frames = reserved_frames(file, (len(videos), *shape), out)
        rows = write_clips(frames, accepted(videos, clips, tolerate, out), progress)
        for name, column in columns(videos, rows).items():
            file[name] = column
        file.attrs["format"] = FORMAT
        file.attrs["spec"] = canonical(spec)
        file.attrs["classes"] = canonical(list(classes))
        file.attrs["ffmpeg"] = ffmpeg
        file.attrs["complete"] = True


def reserved_frames(file: h5py.File, shape: tuple[int, ...], out: Path) -> h5py.Dataset:
    """The empty data set `/frames`, contiguous, with its space on the disk reserved before hours of decoding."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(shape)
    frames = h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U8LE, space, settings)
    size = int(np.prod(shape))
    try:
        with Path(file.filename).open("r+b") as data:
            os.posix_fallocate(data.fileno(), frames.get_offset(), size)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise PipelineError(
            f"No space for {out}: it needs {size:,} bytes ({os.strerror(error.errno)}). Free them, or write elsewhere."
        ) from error
    return h5py.Dataset(frames)


def write_clips(frames: h5py.Dataset, clips: Iterable[DecodedClip], progress: Callable[[int], None]) -> list[Row]:
    """Write each clip to its row of `frames`; what is to be kept beside them."""
    rows = []
    for row, clip in enumerate(clips):
        frames[row] = clip.frames
        rows.append(Row(clip.status, clip.message, clip.index, zlib.crc32(clip.frames.tobytes())))
        progress(row + 1)
    return rows


def accepted(
    videos: Sequence[Video], clips: Iterable[DecodedClip], tolerate: Sequence[str], out: Path
) -> Iterator[DecodedClip]:
    """The clips as they come; PipelineError at the end, or after FAILURES_TOLD, when some failed that may not."""
    failures = []
    for video, clip in zip(videos, clips, strict=True):
        yield clip
        if clip.status is Status.FAILED and video.path not in tolerate:
            failures.append(f"\n  {video.path}: {clip.message}")
        if len(failures) == FAILURES_TOLD:
            break
    if failures:
        raise PipelineError(
            f"{out}: {len(failures)} videos could not be decoded:{''.join(failures)}\n"
            "Replace these files, or list them under `tolerate` to leave them out."
        )


def columns(videos: Sequence[Video], rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The columns of the store beside `/frames`, by name."""
    return {
        "label": np.array([video.label for video in videos], "<i8"),
        "video": utf8([video.path for video in videos]),
        "status": np.array([row.status for row in rows], "u1"),
        "message": utf8([row.message for row in rows]),
        "index": np.array([row.frame_numbers for row in rows], "<i8"),
        "crc32": np.array([row.crc32 for row in rows], "<u4"),
    }


def utf8(texts: Sequence[str]) -> np.ndarray:
    """Texts as HDF5 strings of one length: unlike variable ones they always take the same place in the file."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, *map(len, encoded))))


def canonical(data: Any) -> str:
    """Plain data as JSON text that does not depend on the order of keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False)
