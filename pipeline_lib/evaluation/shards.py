"""What is finished of an attack job: a file in its run folder for the clips that were attacked at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline_lib.evaluation.attacked import AttackedClips, Columns, columns_of, from_columns
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write

# Beside the columns of `AttackedClips`: the compressed clips, one after the other, and the length of each in bytes.
CHUNKS, LENGTH = "chunks", "length"


def write_shard(folder: Path, rows: np.ndarray, attacked: AttackedClips, chunks: Sequence[bytes]) -> None:
    """Keeps consecutive clips of a set. chunks: each clip's difference, compressed as it is stored in the set."""
    compressed = {LENGTH: np.array([len(chunk) for chunk in chunks]), CHUNKS: np.frombuffer(b"".join(chunks), np.uint8)}
    with atomic_write(shard_of(folder, rows)) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns_of(attacked), **compressed)


def shard_of(folder: Path, rows: np.ndarray) -> Path:
    return folder / f"clips{rows[0]:08d}-{rows[-1]:08d}.npz"


def shards_in(folder: Path) -> list[Path]:
    """In the order of their clips."""
    return sorted(folder.glob("clips*.npz"))


def finished_rows(folder: Path) -> list[int]:
    """The clips in the whole shards of a folder; damaged ones are deleted, with a warning."""
    found: list[int] = []
    for shard in shards_in(folder):
        try:
            attacked_clips([shard])
            _ = list(compressed_clips([shard]))
        except Exception as error:  # a damaged archive may raise anything
            LOGGER.warning("%s is damaged (%s): its clips are attacked again", shard, error)
            shard.unlink()
            continue
        first, last = shard.stem.removeprefix("clips").split("-")
        found += range(int(first), int(last) + 1)
    return found


def missing_rows(count: int, batch_size: int, finished: list[int]) -> list[np.ndarray]:
    """What is left of each batch of `count` clips, in runs of consecutive ones."""
    left = np.setdiff1d(np.arange(count), finished)
    edges = np.flatnonzero((np.diff(left) > 1) | (left[1:] % batch_size == 0)) + 1
    return [rows for rows in np.split(left, edges) if len(rows)]


def attacked_clips(shards: Iterable[Path]) -> AttackedClips:
    """What was measured of the clips of all shards."""
    found = [_without_chunks(shard) for shard in shards]
    columns = {name: np.concatenate(_equally_long([columns[name] for columns in found])) for name in found[0]}
    return from_columns(AttackedClips, columns)


def _equally_long(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Traces (n, T + 1) of an attack that stops sooner on one batch than on another stay at their last value."""
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
