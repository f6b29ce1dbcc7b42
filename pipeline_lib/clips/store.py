"""Reading a store of clips: uint8 rows by offset, checked, into one array.

The layout: `/frames` (N, T, H, W, C) uint8, contiguous and uncompressed (compression costs 10 to 50 times the reading
time and shared readers); `/label`, `/video`, `/status`, `/message`, `/index` (N, T) and `/crc32` by row; and the
attributes `kind`, `format`, `spec`, `classes`, `decoder` and `complete`, which is written last. The user block contains
a checksum of everything except the frames (`seal.py`).
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline_lib.clips.hdf5 import reading
from pipeline_lib.clips.status import Status
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.file_systems import advise_reading

# Written by store_writer and checked here. Increase it when the layout of the file changes.
FORMAT = 2
KIND = "a store of clips"


class Clips:
    """The usable clips of a store, in its order; FAILED videos are omitted.

    labels: int64 (N,). videos: N paths as in the lists. classes: names by label. status: uint8 (N,), see Status.
    index: int64 (N, T), frame numbers in the videos. shape: (T, H, W, C). crc32: uint32 (N,), of each clip's frames.
    checksum: identifies the content.

    It keeps no file open, so it can be pickled and used after a fork.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path, KIND, FORMAT) as file:
            usable = np.flatnonzero(file["status"][:] != Status.FAILED)
            self.shape: tuple[int, ...] = file["frames"].shape[1:]
            self.labels: np.ndarray = file["label"][:][usable]
            self.status: np.ndarray = file["status"][:][usable]
            self.index: np.ndarray = file["index"][:][usable]
            self.videos: list[str] = [name.decode() for name in file["video"][:][usable]]
            self.classes: list[str] = json.loads(file.attrs["classes"])
            self.crc32 = file["crc32"][:][usable]
            self._rows = usable
            self._offset = int(file["frames"].id.get_offset())
        self._row_bytes = int(np.prod(self.shape))
        self.checksum = checksum(self.crc32, self.labels, self.videos)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """The clips `rows`, uint8 (n, T, H, W, C), in the array `into` if one is given.

        Raises:
            PipelineError: names the video when its bytes have changed.
        """
        frames = np.empty((len(rows), *self.shape), np.uint8) if into is None else into
        with self.path.open("rb", buffering=0) as file:
            for start, stop, offset in self._contiguous(rows):
                fill(file.fileno(), frames[start:stop].reshape(-1).data, offset, self.path)
        for clip, row in zip(frames, rows, strict=True):
            if zlib.crc32(clip) != self.crc32[row]:
                raise PipelineError(
                    f"{self.path}: the clip of {self.videos[row]} is damaged. Delete the file and run again"
                )
        return frames

    def prefetch(self, rows: Sequence[int] | np.ndarray) -> None:
        """Start reading the clips `rows` into the page cache in the background (posix_fadvise)."""
        with self.path.open("rb", buffering=0) as file:
            for start, stop, offset in self._contiguous(rows):
                advise_reading(file.fileno(), offset, (stop - start) * self._row_bytes)

    def _contiguous(self, rows: Sequence[int] | np.ndarray) -> Iterator[tuple[int, int, int]]:
        """Slices start:stop of `rows` whose clips are contiguous in the file, and the offset of the first."""
        places = self._rows[np.asarray(rows, dtype=np.int64)]
        edges = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        for start, stop in pairwise(edges) if len(places) else ():
            yield start, stop, self._offset + int(places[start]) * self._row_bytes


def fill(descriptor: int, target: memoryview, offset: int, path: Path) -> None:
    """Read bytes from `offset` until `target` is full; one call reads 2 GiB at most."""
    while target:
        count = os.preadv(descriptor, [target], offset)
        if count == 0:
            raise PipelineError(f"{path} is truncated. Delete it and run again")
        target, offset = target[count:], offset + count


def checksum(crc32: np.ndarray, labels: np.ndarray, videos: Sequence[str]) -> str:
    """SHA-256 of the clips' checksums, labels and names."""
    digest = hashlib.sha256(crc32.astype("<u4").tobytes())
    digest.update(labels.astype("<i8").tobytes())
    digest.update("\0".join(videos).encode())
    return digest.hexdigest()
