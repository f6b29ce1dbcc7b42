"""How many clips of a store have each status, and the first of each: for the log, the console and the report."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.clips.hdf5 import reading
from pipeline_lib.clips.status import DecodedClip, Status, printable
from pipeline_lib.clips.store import FORMAT, KIND
from pipeline_lib.jobs.logs import LOGGER

# More clips that are not OK than this part of a data set are reported on the console.
LARGEST_PART = 0.1
RED, PLAIN = "\033[31m", "\033[0m"


@dataclass(frozen=True)
class Outcome:
    """A status, how many clips have it, and the name of the first."""

    status: Status
    count: int
    first: str


def recorded(clips: Iterable[DecodedClip], statuses: list[Status]) -> Iterator[DecodedClip]:
    """The clips; the status of each is appended to `statuses`."""
    for clip in clips:
        statuses.append(clip.status)
        yield clip


def outcomes(names: Sequence[str], statuses: Sequence[Status]) -> list[Outcome]:
    """The statuses that occur, in their order."""
    found = []
    for status in Status:
        places = [place for place, one in enumerate(statuses) if one is status]
        if places:
            found.append(Outcome(status, len(places), names[places[0]]))
    return found


def outcomes_of(store: Path) -> list[Outcome]:
    """The outcomes of a clip store, with those of files that failed and were tolerated."""
    with reading(store, KIND, FORMAT) as file:
        names = [name.decode() for name in file["video"][:]]
        return outcomes(names, [Status(status) for status in file["status"][:]])


def in_words(found: Sequence[Outcome]) -> str:
    """For example `30 OK, 2 SHORT (first: jump/a.avi)`."""
    return ", ".join(
        f"{one.count} {one.status.name}" + ("" if one.status is Status.OK else f" (first: {printable(one.first)})")
        for one in found
    )


def part_not_ok(found: Sequence[Outcome]) -> float:
    """The part of clips with another status than OK; frames are all there under COMPLAINED, which counts as OK."""
    total = sum(one.count for one in found)
    return sum(one.count for one in found if one.status not in (Status.OK, Status.COMPLAINED)) / max(1, total)


def report(what: str, names: Sequence[str], statuses: Sequence[Status]) -> None:
    """Write the outcomes to the log; and in red to the console if more than a tenth are not OK."""
    found = outcomes(names, statuses)
    LOGGER.info("%s: %s", what, in_words(found))
    if part_not_ok(found) > LARGEST_PART:
        message = f"{what}: {part_not_ok(found):.0%} of the clips are not OK: {in_words(found)}"
        LOGGER.warning(message)
        colored = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        print(f"{RED}{message}{PLAIN}" if colored else message, file=sys.stderr, flush=True)
