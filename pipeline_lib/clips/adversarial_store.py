"""Adversarial sets on disk: the difference to the clean clips, exact and small.

`/delta` holds `(adversarial - clean) mod 256` as uint8 (N, T, H, W, C), one gzip-1 chunk for each clip: 0.02 (SPA) to
0.42 (PGD) of the clips' size. A set contains the checksum of its clean store. Attacks that draw around the picture
produce larger frames: the clean clips are then padded by a black `margin` before the difference is taken.

A set whose attribute `storage` is `float32` keeps the attacked values themselves. The difference of two float32 numbers
is rounded, so that clean + difference would be other values; `/delta` is the difference of their bit patterns instead,
`(adversarial - clean) mod 2**32` as uint32. It restores every bit on any machine, and is 0 where nothing changed:
2.5 to 2.8 of the uint8 clips' size for l2 and ratio attacks.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipeline_lib.clips.hdf5 import reading, reading_again, written
from pipeline_lib.clips.seal import block_size, seal
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.storages import LATTICE, Storage
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.jobs.system_errors import reason_of
from pipeline_lib.provenance.comparison import flat
from pipeline_lib.provenance.fingerprints import canonical

FORMAT = 2
KIND = "an adversarial set"

# Type of the frames of a set in memory.
DTYPES: dict[Storage, np.dtype] = {LATTICE: np.dtype(np.uint8), "float32": np.dtype(np.float32)}


def words(frames: np.ndarray) -> np.ndarray:
    """The bit patterns of frames, a view: unsigned integers, whose differences are exact."""
    return frames.view(f"<u{frames.itemsize}")


def in_dtype(frames: np.ndarray, dtype: np.dtype, into: np.ndarray | None = None) -> np.ndarray:
    """uint8 frames in the type of a set: unchanged, or float32 levels / 255 (in the array `into` if one is given)."""
    return frames if frames.dtype == dtype else np.divide(frames, 255, out=into, dtype=dtype)


def eight_bit(frames: np.ndarray) -> np.ndarray:
    """Frames as uint8, for display: float32 frames are rounded to the nearest levels."""
    return frames if frames.dtype == np.uint8 else np.rint(frames * 255).clip(0, 255).astype(np.uint8)


def compressed_delta(adversarial: np.ndarray, clean: np.ndarray) -> bytes:
    """One clip's chunk, as HDF5's shuffle and gzip filters store it.

    adversarial: (T, H, W, C), uint8, or float32 in [0, 1]. clean: uint8 of the same shape.
    """
    delta = words(adversarial) - words(in_dtype(clean, adversarial.dtype))
    # Grouped by significance: the bytes of the exponents repeat, those of the mantissas hardly compress.
    return zlib.compress(delta.reshape(-1, 1).view(np.uint8).T.tobytes(), 1)


def enlarged(frames: np.ndarray, margin: int) -> np.ndarray:
    """Frames (N, T, H, W, C) with `margin` black pixels on each side; the same array without a margin."""
    return np.pad(frames, [(0, 0), (0, 0), (margin, margin), (margin, margin), (0, 0)]) if margin else frames


def write_adversarial(
    output: Path,
    clean: Clips,
    chunks: Iterable[bytes],
    crc32: np.ndarray,
    entry: dict[str, Any],
    margin: int = 0,
    storage: Storage = LATTICE,
) -> None:
    """Writes a set whole or not at all; `chunks` and `crc32` (of the adversarial frames) in the order of the clips."""
    with atomic_write(output) as temporary:
        ranges: list[tuple[int, int]] = []
        with written(temporary, "w", block_size(len(clean))) as file:
            file.attrs["kind"] = KIND
            file.attrs["format"] = FORMAT
            file.attrs["clean"] = clean.checksum
            file.attrs["entry"] = json.dumps(entry, sort_keys=True)
            file.create_dataset("crc32", data=crc32.astype(np.uint32))
            file.attrs["margin"] = margin
            delta = _delta(file, clean, margin, DTYPES[storage].itemsize)
            for row, chunk in enumerate(chunks):
                delta.id.write_direct_chunk((row, 0, 0, 0, 0), chunk)
            delta.id.chunk_iter(lambda chunk: ranges.append((chunk.byte_offset, chunk.size)))
            if storage != LATTICE:
                file.attrs["storage"] = storage
            file.attrs["complete"] = True
        seal(temporary, ranges, block_size(len(clean)))


def require_attack(path: Path, entry: Mapping[str, Any]) -> None:
    """Raises PipelineError for a file that is no whole adversarial set, or one that another attack made.

    entry: of the attack, as a job receives it.
    """
    with reading(path, KIND, FORMAT) as file:
        found, expected = flat(json.loads(file.attrs["entry"])["attack"]), flat(json.loads(canonical(entry)))
    keys = [key for key in dict.fromkeys([*expected, *found]) if found.get(key) != expected.get(key)]
    if keys:
        values = f"{keys[0]} is {found.get(keys[0])} in the file, {expected.get(keys[0])} here"
        raise PipelineError(f"{path}: made by another attack: {values}")


def _delta(file: h5py.File, clean: Clips, margin: int, size: int) -> h5py.Dataset:
    """The HDF5 data set of the differences, with words of `size` bytes."""
    frames, height, width, channels = clean.shape
    shape = (frames, height + 2 * margin, width + 2 * margin, channels)
    chunked = {"chunks": (1, *shape), "compression": 1, "shuffle": size > 1}
    return file.create_dataset("delta", (len(clean), *shape), f"<u{size}", **chunked)


class AdversarialClips:
    """Adversarial clips, with the labels and names of the clean clips that they were made from.

    storage: `lattice` or `float32`. dtype: of the frames, uint8 or float32.

    Raises:
        PipelineError: an incomplete or foreign file, or one that belongs to other clean clips.
    """

    def __init__(self, path: Path, clean: Clips) -> None:
        self.path, self.clean = path, clean
        self.labels, self.videos = clean.labels, clean.videos
        with reading(path, KIND, FORMAT) as file:
            attributes = dict(file.attrs)
            self.crc32 = file["crc32"][:]
        self._check(attributes)
        self.storage: Storage = attributes.get("storage", LATTICE)
        self.dtype = DTYPES[self.storage]
        self.margin = int(attributes.get("margin", 0))

    def _check(self, attributes: dict[str, Any]) -> None:
        if attributes.get("storage", LATTICE) not in DTYPES:
            raise PipelineError(
                f"{self.path}: of another version of this code, its storage is {attributes['storage']}. Move it away "
                "and run again"
            )
        if attributes.get("clean") != self.clean.checksum:
            raise PipelineError(
                f"{self.path}: made from other clean clips than {self.clean.path}. Move it away and run again"
            )

    def __len__(self) -> int:
        return len(self.clean)

    def read(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """Frames (n, T, H, W, C) of the given clips, uint8, or float32 in [0, 1]; in the array `into` if one is given.

        Raises:
            PipelineError: a byte changed since they were written.
        """
        clean = self.read_clean(rows, into if self.storage == LATTICE else None)
        frames = in_dtype(clean, self.dtype, into)
        with reading_again(self.path) as file:
            for frame, row in zip(words(frames), rows, strict=True):
                self._restore(frame, file["delta"], int(row))
        return frames

    def _restore(self, clip: np.ndarray, delta: h5py.Dataset, row: int) -> None:
        """Turns the words of a clean clip into those of the adversarial one."""
        try:
            clip += delta[row]
            intact = zlib.crc32(clip.tobytes()) == self.crc32[row]
        except (OSError, TypeError, ValueError) as error:  # cannot be decompressed, or has another shape or type
            if reason_of(error):
                raise
            intact = False
        if not intact:
            raise PipelineError(f"{self.path}: clip {self.videos[row]} is damaged. Delete the file and run again")

    def read_clean(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """The clean clips that the differences refer to, uint8, padded by the black margin if the set has one."""
        if not self.margin:
            return self.clean.read(rows, into)
        frames = enlarged(self.clean.read(rows), self.margin)
        if into is None:
            return frames
        into[:] = frames
        return into
