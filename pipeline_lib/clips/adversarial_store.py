"""Adversarial sets on disk: the difference to the clean clips, exact and small.

`/delta` holds `(adversarial - clean) mod 256` as uint8 (N, T, H, W, C), one gzip-1 chunk for each clip: 0.02 (SPA) to
0.42 (PGD) of the clips' size. A set is tied to its clean store by that store's checksum. Sets of attacks that draw
around the picture have larger frames: the clean clips that they differ from then get a black `margin`.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.runs import replacing

FORMAT = 1


def compressed_delta(adversarial: np.ndarray, clean: np.ndarray) -> bytes:
    """One clip's chunk: two uint8 clips (T, H, W, C) to a zlib stream, as HDF5's gzip filter stores it."""
    return zlib.compress((adversarial - clean).tobytes(), 1)


def enlarged(frames: np.ndarray, margin: int) -> np.ndarray:
    """Frames (N, T, H, W, C) with `margin` black pixels on each side; the same array without a margin."""
    return np.pad(frames, [(0, 0), (0, 0), (margin, margin), (margin, margin), (0, 0)]) if margin else frames


def write_adversarial(
    output: Path, clean: Clips, chunks: Iterable[bytes], crc32: np.ndarray, entry: dict[str, Any], margin: int = 0
) -> None:
    """Writes a set whole or not at all; `chunks` and `crc32` (of the adversarial frames) in the order of the clips."""
    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["clean"] = clean.checksum
        file.attrs["entry"] = json.dumps(entry, sort_keys=True)
        file.create_dataset("crc32", data=crc32.astype(np.uint32))
        file.attrs["margin"] = margin
        frames, height, width, channels = clean.shape
        shape = (frames, height + 2 * margin, width + 2 * margin, channels)
        delta = file.create_dataset("delta", (len(clean), *shape), np.uint8, chunks=(1, *shape), compression=1)
        for row, chunk in enumerate(chunks):
            delta.id.write_direct_chunk((row, 0, 0, 0, 0), chunk)
        file.attrs["complete"] = True


class AdversarialClips:
    """Adversarial clips in the place of the clean ones that they were made from.

    Raises:
        PipelineError: an incomplete or foreign file, or one that belongs to other clean clips.
    """

    def __init__(self, path: Path, clean: Clips) -> None:
        self.path, self.clean = path, clean
        self.labels, self.videos = clean.labels, clean.videos
        try:
            with h5py.File(path) as file:
                attributes = dict(file.attrs)
                self.crc32 = file["crc32"][:]
        except (OSError, KeyError) as error:
            raise PipelineError(
                f"{path}: no adversarial set of this pipeline; delete it and run again ({error})"
            ) from error
        self._check(attributes)
        self.margin = int(attributes.get("margin", 0))
        frames, height, width, channels = clean.shape
        self.shape: tuple[int, ...] = (frames, height + 2 * self.margin, width + 2 * self.margin, channels)

    def _check(self, attributes: dict[str, Any]) -> None:
        if attributes.get("format") != FORMAT or not attributes.get("complete"):
            raise PipelineError(f"{self.path}: incomplete or of another version of this code; delete it and run again")
        if attributes.get("clean") != self.clean.checksum:
            raise PipelineError(
                f"{self.path}: made from other clean clips than {self.clean.path}; delete it and run again"
            )

    def __len__(self) -> int:
        return len(self.clean)

    def read(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """uint8 frames (n, T, H, W, C) of the given clips, in the array `into` if one is given.

        Raises:
            PipelineError: a byte changed since they were written.
        """
        frames = self.read_clean(rows, into)
        with h5py.File(self.path) as file:
            for place, row in enumerate(rows):
                frames[place] += file["delta"][int(row)]
                if zlib.crc32(frames[place].tobytes()) != self.crc32[int(row)]:
                    raise PipelineError(
                        f"{self.path}: clip {self.videos[int(row)]} is damaged; delete the file and run again"
                    )
        return frames

    def read_clean(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """What the set differs from: the clean clips, in a black margin if the set has one."""
        if not self.margin:
            return self.clean.read(rows, into)
        frames = enlarged(self.clean.read(rows), self.margin)
        if into is None:
            return frames
        into[:] = frames
        return into
