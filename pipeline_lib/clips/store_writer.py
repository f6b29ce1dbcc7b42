"""Writing a store of clips: atomically, and byte-identical for the same clips.

HDF5 ends the program when a write fails. So HDF5 only writes the layout, a few kilobytes, after a trial allocation of
the whole size. Clips and columns are then written at their offsets by system calls, whose errors can be reported.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline_lib.clips.hdf5 import written
from pipeline_lib.clips.seal import block_size, seal
from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip, Status, printable
from pipeline_lib.clips.store import FORMAT, KIND
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.file_systems import reserve
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.jobs.system_errors import NO_SPACE

MESSAGE_BYTES = 256
# Bytes that HDF5 adds, per file and per clip, without names and frame numbers; an upper estimate.
FILE_BYTES, ROW_BYTES = 1 << 16, 512
# In a wrong folder every video fails: stop early. A few bad files are reported together.
FAILURES_REPORTED = 20


def write_store(
    out: Path,
    videos: Sequence[Video],
    clips: Iterable[DecodedClip],
    *,
    shape: Sequence[int],
    classes: Sequence[str],
    spec: dict[str, Any],
    decoder: str = "",
    tolerate: Sequence[str] = (),
    progress: Callable[[int], None] = lambda finished: None,
) -> None:
    """Write the clips, in the order of `videos` and each of `shape` = (T, H, W, C), to the store `out`.

    `progress` is called with the number of finished clips. PipelineError names the failed videos that are not in
    `tolerate`, or the bytes needed when the space is too small; `out` then does not exist.
    """
    if not videos:
        raise PipelineError(f"{out}: there is nothing to store. Check the data set's lists and `classes`.")
    attributes = {"kind": KIND, "format": FORMAT, "spec": canonical(spec), "classes": canonical(list(classes))}
    attributes |= {"decoder": decoder}
    names = utf8([video.name for video in videos])
    size = FILE_BYTES + len(videos) * (int(np.prod(shape)) + 8 * shape[0] + names.itemsize + ROW_BYTES)
    with atomic_write(out) as temporary, enough_space(out, size):
        reserve(temporary, size)
        offsets = laid_out(temporary, names, [video.label for video in videos], shape, attributes)
        reserve(temporary, temporary.stat().st_size)
        write_clips(temporary, offsets, accepted(videos, clips, tolerate, out), progress)
        with written(temporary, "r+") as file:
            file.attrs.modify("complete", True)
        seal(temporary, [(offsets["frames"], len(videos) * int(np.prod(shape)))], block_size(1))


@contextmanager
def enough_space(out: Path, size: int) -> Iterator[None]:
    """Turn a full disk, a used-up quota or a file size limit into a PipelineError with the bytes needed."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        reason = os.strerror(error.errno)
        raise PipelineError(
            f"No space for {out}: {size:,} bytes are needed ({reason}). Free this space, or write to another disk."
        ) from error


def laid_out(
    path: Path, names: np.ndarray, labels: Sequence[int], shape: Sequence[int], attributes: dict[str, Any]
) -> dict[str, int]:
    """Write a store without its clips. Returns the offsets of the data still to be written, by name."""
    message = h5py.string_dtype("utf-8", MESSAGE_BYTES)
    with written(path, "w", block_size(1)) as file:
        file["label"] = np.array(labels, "<i8")
        file["video"] = names
        offsets = {
            "status": allocated(file, "status", (len(names),), np.dtype("u1")),
            "message": allocated(file, "message", (len(names),), message),
            "index": allocated(file, "index", (len(names), shape[0]), np.dtype("<i8")),
            "crc32": allocated(file, "crc32", (len(names),), np.dtype("<u4")),
            "frames": allocated(file, "frames", (len(names), *shape), np.dtype("u1")),
        }
        for name, value in (attributes | {"complete": False}).items():
            file.attrs[name] = value
    return offsets


def allocated(file: h5py.File, name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Create a contiguous data set with allocated space; its offset in the file."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # A time stamp would make the bytes depend on the time of writing.
    settings.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype, logical=True)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(tuple(shape)), settings)
    return int(dataset.get_offset())


def write_clips(
    path: Path, offsets: dict[str, int], clips: Iterable[DecodedClip], progress: Callable[[int], None]
) -> None:
    """Write each clip, and the columns, at their offsets in the file."""
    with path.open("r+b") as file:
        for row, clip in enumerate(clips):
            frames = clip.frames.tobytes()
            columns = {
                "status": bytes([clip.status]),
                "message": clip.message.encode()[:MESSAGE_BYTES].decode(errors="ignore").encode(),
                "index": clip.index.astype("<i8").tobytes(),
                "crc32": zlib.crc32(frames).to_bytes(4, "little"),
                "frames": frames,
            }
            for name, content in columns.items():
                width = MESSAGE_BYTES if name == "message" else len(content)
                file.seek(offsets[name] + row * width)
                file.write(content)
            progress(row + 1)


def accepted(
    videos: Sequence[Video], clips: Iterable[DecodedClip], tolerate: Sequence[str], out: Path
) -> Iterator[DecodedClip]:
    """The clips in order. PipelineError at the end, or after FAILURES_REPORTED, for failures that are not tolerated."""
    failures = []
    for video, clip in zip(videos, clips, strict=True):
        yield clip
        if clip.status is Status.FAILED and video.path not in tolerate:
            failures.append(f"\n  {printable(video.name)}: {'; '.join(clip.message.splitlines())}")
        if len(failures) == FAILURES_REPORTED:
            break
    if failures:
        raise PipelineError(
            f"{out}: could not decode{''.join(failures)}\n"
            "Replace these files, or list them under `tolerate` to omit them."
        )


def utf8(texts: Sequence[str]) -> np.ndarray:
    """Texts as HDF5 strings of one length: unlike variable ones, their position in the file is always the same."""
    encoded = [printable(text).encode() for text in texts]
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, *map(len, encoded))))


def canonical(data: Any) -> str:
    """Plain data as JSON text that does not depend on the order of keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False)
