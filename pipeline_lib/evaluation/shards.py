"""What is finished of an attack job: a file in its run folder for the clips that were attacked at once."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline_lib.evaluation.audit import Columns
from pipeline_lib.jobs.logs import LOGGER


def shard_of(folder: Path, rows: np.ndarray) -> Path:
    return folder / f"clips{rows[0]:08d}-{rows[-1]:08d}.npz"


def finished_rows(folder: Path) -> list[int]:
    """The clips in the whole shards of a folder; damaged ones are deleted, with a warning."""
    found: list[int] = []
    for shard in folder.glob("clips*.npz"):
        try:
            joined_columns([shard])
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


def joined_columns(shards: Iterable[Path]) -> Columns:
    """The arrays of all shards, joined; without the compressed clips."""
    found = [_without_chunks(shard) for shard in shards]
    return {name: np.concatenate(_equally_long([columns[name] for columns in found])) for name in found[0]}


def _equally_long(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Traces (n, T + 1) of an attack that stops sooner on one batch than on another stay at their last value."""
    if arrays[0].ndim == 1:
        return arrays
    longest = max(array.shape[1] for array in arrays)
    return [np.pad(array, ((0, 0), (0, longest - array.shape[1])), mode="edge") for array in arrays]


def _without_chunks(shard: Path) -> Columns:
    with np.load(shard) as arrays:
        return {name: arrays[name] for name in arrays.files if name not in ("chunks", "length")}


def compressed_clips(shards: Iterable[Path]) -> Iterable[bytes]:
    for shard in shards:
        with np.load(shard) as arrays:
            joined, ends = arrays["chunks"].tobytes(), np.cumsum(arrays["length"])
        yield from (joined[end - length : end] for end, length in zip(ends, np.diff(ends, prepend=0), strict=True))
