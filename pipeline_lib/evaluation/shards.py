"""Shards of an attack job: files in its run folder, one for each group of clips that was attacked at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline_lib.evaluation.attacked import AttackedClips, Columns, columns_of, from_columns
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write

# In addition to the columns of `AttackedClips`: the concatenated compressed clips, and their lengths in bytes.
CHUNKS, LENGTH = "chunks", "length"

T = TypeVar("T")


def write_shard(folder: Path, rows: np.ndarray, measured: Any, chunks: Sequence[bytes]) -> None:
    """Writes the measurements of consecutive clips, a NamedTuple of arrays. chunks: each clip's difference, compressed
    as it is stored in the set; none where no set is made."""
    compressed = {LENGTH: np.array([len(chunk) for chunk in chunks]), CHUNKS: np.frombuffer(b"".join(chunks), np.uint8)}
    with atomic_write(shard_of(folder, rows)) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns_of(measured), **compressed)


def shard_of(folder: Path, rows: np.ndarray) -> Path:
    return folder / f"clips{rows[0]:08d}-{rows[-1]:08d}.npz"


def shards_in(folder: Path) -> list[Path]:
    """The shards of a folder in the order of their clips."""
    return sorted(folder.glob("clips*.npz"))


def finished_rows(folder: Path) -> list[int]:
    """The clips in the intact shards of a folder; damaged shards are deleted, with a warning."""
    found: list[int] = []
    for shard in shards_in(folder):
        try:
            rows = _rows_of(shard)
            _ = list(compressed_clips([shard]))
        except Exception as error:  # a damaged archive may raise anything
            LOGGER.warning("%s is damaged (%s): its clips are attacked again", shard, error)
            shard.unlink()
            continue
        found += rows
    return found


def _rows_of(shard: Path) -> range:
    """The clips in a shard. Raises ValueError if it lacks measurements of one."""
    first, last = map(int, shard.stem.removeprefix("clips").split("-"))
    rows = range(first, last + 1)
    if {len(values) for values in _without_chunks(shard).values()} != {len(rows)}:
        raise ValueError("measurements are missing")
    return rows


def missing_rows(count: int, batch_size: int, finished: list[int]) -> list[np.ndarray]:
    """The unfinished rows of each batch of `count` clips, in runs of consecutive rows."""
    left = np.setdiff1d(np.arange(count), finished)
    edges = np.flatnonzero((np.diff(left) > 1) | (left[1:] % batch_size == 0)) + 1
    return [rows for rows in np.split(left, edges) if len(rows)]


def attacked_clips(shards: Iterable[Path]) -> AttackedClips:
    """The measurements of the clips of all shards."""
    return measured_clips(AttackedClips, shards)


def measured_clips(kind: type[T], shards: Iterable[Path]) -> T:
    """What was measured of the clips of all shards, of the NamedTuple that was written."""
    found = [_without_chunks(shard) for shard in shards]
    columns = {name: np.concatenate(_equally_long([columns[name] for columns in found])) for name in found[0]}
    return from_columns(kind, columns)


def _equally_long(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Traces (n, T + 1) padded to equal length with their last value, for an attack that may stop early on a batch."""
    if arrays[0].ndim == 1:
        return arrays
    longest = max(array.shape[1] for array in arrays)
    return [np.pad(array, ((0, 0), (0, longest - array.shape[1])), mode="edge") for array in arrays]


def _without_chunks(shard: Path) -> Columns:
    with np.load(shard) as arrays:
        return {name: arrays[name] for name in arrays.files if name not in (CHUNKS, LENGTH)}


def compressed_clips(shards: Iterable[Path]) -> Iterable[bytes]:
    """Each clip's compressed difference, in order."""
    for shard in shards:
        with np.load(shard) as arrays:
            joined, ends = arrays[CHUNKS].tobytes(), np.cumsum(arrays[LENGTH])
        yield from (joined[end - length : end] for end, length in zip(ends, np.diff(ends, prepend=0), strict=True))
