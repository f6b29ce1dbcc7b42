"""The same clip under two names, found by the checksums in stores of clips."""

import sys
from pathlib import Path

import numpy as np

from pipeline_lib.clips.store import Clips
from pipeline_lib.jobs.logs import LOGGER

NAMED = 5


def copies_within(clips: Clips) -> list[tuple[str, str]]:
    """Names of pairs of clips of a store with the same frames: of each and the first one with its content."""
    return [pair for pair, rows in _candidates(clips, clips) if rows[0] < rows[1] and _same(clips, clips, rows)]


def copies_between(clips: Clips, others: Clips) -> list[tuple[str, str]]:
    """Names of pairs of clips of two stores with the same frames: of each and the first such one of `others`."""
    return [pair for pair, rows in _candidates(others, clips) if _same(others, clips, rows)]


def _candidates(first: Clips, second: Clips) -> list[tuple[tuple[str, str], tuple[int, int]]]:
    """Pairs of equal checksums: names (second's, first's), rows (first's, second's)."""
    places: dict[int, int] = {}
    for row, checksum in enumerate(first.crc32.tolist()):
        places.setdefault(checksum, row)
    return [
        ((second.videos[row], first.videos[places[checksum]]), (places[checksum], row))
        for row, checksum in enumerate(second.crc32.tolist())
        if checksum in places
    ]


def _same(first: Clips, second: Clips, rows: tuple[int, int]) -> bool:
    return first.shape == second.shape and np.array_equal(first.read(rows[:1]), second.read(rows[1:]))


def warn_of_copies(store: Path, other: Path) -> None:
    """Warns, in the log and on the console, of clips with the same frames as another one of the store or of the other
    split's store.

    The other store is read if it exists: of two jobs that write both at once, the later one sees both.
    """
    clips = Clips(store)
    found = {f"{store.stem} clips": copies_within(clips)}
    if other.is_file():
        found[f"{other.stem} clips"] = copies_between(clips, Clips(other))
    for where, pairs in found.items():
        if pairs:
            some = ", ".join(f"{one} = {two}" for one, two in pairs[:NAMED]) + (" ..." if len(pairs) > NAMED else "")
            message = f"{len(pairs)} {store.stem} clips have the same frames as other {where}: {some}"
            LOGGER.warning(message)
            print(f"\nWarning: {store}: {message}", file=sys.stderr, flush=True)
