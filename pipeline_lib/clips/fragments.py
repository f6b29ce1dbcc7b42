"""Fragmented MP4 files: whether all fragments are there (ISO/IEC 14496-12, 8.8 and 8.16)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO, NamedTuple

# Boxes that contain boxes.
PARENTS = (b"moov", b"mvex", b"trak", b"mdia", b"moof", b"traf")
# Larger boxes of these names are no fragment's description.
LARGEST_DESCRIPTION = 1 << 26


class Box(NamedTuple):
    """Name, start of its content and end of a box."""

    name: bytes
    start: int
    end: int


class Run(NamedTuple):
    """The time of one track in one fragment, in the track's units: start and duration."""

    track: int
    start: int
    duration: int


@dataclass
class Layout:
    """What the boxes of a file state: whether it has fragments, their sequence numbers and times, and its end."""

    fragmented: bool = False
    duration: int = 0
    timescale: int = 0
    timescales: dict[int, int] = field(default_factory=dict)
    sample_durations: dict[int, int] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    indexed_to: int = 0
    references: int = 0
    has_index: bool = False


def missing_fragments(file: BinaryIO) -> str:
    """What a fragmented file lacks, in words; empty for a whole one, and for files without fragments."""
    end = file.seek(0, 2)
    layout = layout_of(file, end)
    if not layout.fragmented:
        return ""
    if layout.indexed_to > end:
        return f"{layout.indexed_to - end} bytes are missing at the end of the file"
    return hole(layout) or missing_end(layout)


def hole(layout: Layout) -> str:
    """The first gap in the numbers of the fragments, or in the times of a track."""
    for before, after in pairwise(layout.numbers):
        if after > before + 1:
            return f"fragment {before} is followed by fragment {after}"
    for track in sorted({run.track for run in layout.runs}):
        for one, other in pairwise(run for run in layout.runs if run.track == track):
            gap = other.start - one.start - one.duration
            if one.duration and 2 * gap >= one.duration:
                return f"the fragments of track {track} have a gap of {gap} units of time at {one.start + one.duration}"
    return ""


def missing_end(layout: Layout) -> str:
    """Whether the stated end is reached: by the duration in the header, an index of all fragments, or a last index."""
    if layout.duration and layout.timescale:
        reached = max((seconds_reached(layout, run) for run in layout.runs), default=0.0)
        stated = layout.duration / layout.timescale
        return f"{reached:.3f} s are there, but the header states {stated:.3f} s" if reached < 0.98 * stated else ""
    # An index with one reference may be that of the first fragment alone.
    covered = layout.references >= max(2, len(layout.numbers))
    if layout.has_index or covered:
        return ""
    return "no box states where the fragments end (mfra, sidx or mehd), as in a file that was cut between fragments"


def seconds_reached(layout: Layout, run: Run) -> float:
    return (run.start + run.duration) / (layout.timescales.get(run.track) or layout.timescale)


def layout_of(file: BinaryIO, end: int) -> Layout:
    """The facts about fragments in a file's boxes."""
    layout = Layout()
    for box in boxes(file, 0, end):
        if box.name == b"moov":
            read_header(file, box, layout)
        elif box.name == b"moof" and box.end - box.start < LARGEST_DESCRIPTION:
            read_fragment(file, box, layout)
        elif box.name == b"sidx" and not layout.numbers:
            read_index(file, box, layout)
        layout.has_index |= box.name == b"mfra"
    return layout


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places of a file."""
    while start + 8 <= end:
        file.seek(start)
        short, name, long = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        size = {0: end - start, 1: long}.get(short, short)
        yield Box(name, start + (16 if short == 1 else 8), min(start + size, end))
        start += max(size, 8)


def inside(file: BinaryIO, parent: Box) -> Iterator[Box]:
    """All boxes below a box, at any depth, in the order of the file."""
    for box in boxes(file, parent.start, parent.end):
        yield box
        if box.name in PARENTS:
            yield from inside(file, box)


def content(file: BinaryIO, box: Box) -> bytes:
    """The content of a small box, filled up with zeros so that fields can be read from a damaged one."""
    file.seek(box.start)
    return file.read(min(box.end - box.start, LARGEST_DESCRIPTION)).ljust(64, b"\0")


def read_header(file: BinaryIO, moov: Box, layout: Layout) -> None:
    """Times of the file and of its tracks, and whether fragments follow."""
    track = 0
    for box in inside(file, moov):
        layout.fragmented |= box.name == b"mvex"
        if box.name not in (b"mvhd", b"mehd", b"tkhd", b"mdhd", b"trex"):
            continue
        data = content(file, box)
        if box.name == b"mvhd":
            layout.timescale = number(data, 20 if data[0] else 12)
        elif box.name == b"mehd":
            layout.duration = struct.unpack_from(">Q", data, 4)[0] if data[0] else number(data, 4)
        elif box.name == b"tkhd":
            track = number(data, 20 if data[0] else 12)
        elif box.name == b"mdhd":
            layout.timescales[track] = number(data, 20 if data[0] else 12)
        else:
            layout.sample_durations[number(data, 4)] = number(data, 12)


def read_index(file: BinaryIO, box: Box, layout: Layout) -> None:
    """The end of the last fragment that an index in front of the fragments refers to, and how many it refers to."""
    data = content(file, box)
    place = 28 if data[0] else 20
    first = struct.unpack_from(">Q", data, 20)[0] if data[0] else number(data, 16)
    count = struct.unpack_from(">H", data, place + 2)[0]
    fitting = min(count, (len(data) - place - 4) // 12)
    sizes = [number(data, place + 4 + 12 * entry) & 0x7FFFFFFF for entry in range(fitting)]
    layout.indexed_to, layout.references = box.end + first + sum(sizes), count


def read_fragment(file: BinaryIO, moof: Box, layout: Layout) -> None:
    """The sequence number of a fragment, and the time of each of its tracks."""
    track = default = 0
    for box in inside(file, moof):
        if box.name == b"mfhd":
            layout.numbers.append(number(content(file, box), 4))
        elif box.name == b"tfhd":
            track, default = default_duration(content(file, box), layout)
        elif box.name == b"tfdt":
            data = content(file, box)
            start = struct.unpack_from(">Q", data, 4)[0] if data[0] else number(data, 4)
            layout.runs.append(Run(track, start, 0))
        elif box.name == b"trun" and layout.runs and layout.runs[-1].track == track:
            last = layout.runs.pop()
            layout.runs.append(last._replace(duration=last.duration + run_duration(content(file, box), default)))


def default_duration(data: bytes, layout: Layout) -> tuple[int, int]:
    """Track and duration of its samples by a `tfhd` box, or by the header."""
    flags, track = number(data, 0) & 0xFFFFFF, number(data, 4)
    place = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    return track, number(data, place) if flags & 8 else layout.sample_durations.get(track, 0)


def run_duration(data: bytes, default: int) -> int:
    """The duration of all samples of a `trun` box."""
    flags, count = number(data, 0) & 0xFFFFFF, number(data, 4)
    if not flags & 0x100:
        return count * default
    start = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
    step = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
    return sum(number(data, start + step * sample) for sample in range(min(count, (len(data) - start) // step)))


def number(data: bytes, place: int) -> int:
    """An unsigned 32-bit number."""
    return int(struct.unpack_from(">I", data, place)[0])
