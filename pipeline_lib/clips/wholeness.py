"""Whether a video file holds all that it states: by frame counts and sizes in its headers, whatever was decoded."""

import struct
from pathlib import Path
from typing import BinaryIO

from pipeline_lib.clips.cut_ends import cut_end, lacking
from pipeline_lib.clips.fragments import missing_fragments
from pipeline_lib.clips.program_streams import cut_packet

# The boxes of MP4 and QuickTime files that contain frames. Other data may follow the last one.
BOXES_WITH_FRAMES = (b"moov", b"moof", b"mdat")


def missing(path: Path, count: int) -> str:
    """What a file lacks, in words, of which `count` frames were decoded; empty for a whole file.

    Raises OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if is_avi(head):
            return missing_in_avi(file, count)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"moof"):
            return lacking(bytes_cut_off(path)) or missing_fragments(file)
        return cut_packet(file) if head[:4] == b"\0\0\1\xba" else cut_end(file)


def missing_in_avi(file: BinaryIO, count: int) -> str:
    """What an AVI file lacks by its header's number of frames, and by the sizes of its lists.

    A variable rate is written to AVI as chunks without content, which the header counts as frames.
    """
    stated = frames_stated(file) or 0
    # Intact AVI files may have a frame or two fewer than the header states.
    if count < stated - max(2, stated // 50):
        expected = stated - chunks_without_content(file)
        if count < expected - max(2, expected // 50):
            return f"the header states {stated}"
    return lacking(bytes_cut_off_avi(file))


def frames_in_header(path: Path) -> int | None:
    """The number of frames that an AVI file's main header states; None for other files. A hint, not a count."""
    with path.open("rb") as file:
        return frames_stated(file)


def frames_stated(file: BinaryIO) -> int | None:
    file.seek(0)
    head = file.read(52)
    if len(head) < 52 or not is_avi(head) or head[24:28] != b"avih":
        return None
    return int(struct.unpack_from("<I", head, 48)[0])


def is_avi(head: bytes) -> bool:
    return (head[:4], head[8:12]) == (b"RIFF", b"AVI ")


def frame_lists(file: BinaryIO) -> list[tuple[int, int]]:
    """Start and stated end of the lists with frames (`movi`) of an AVI file, in each of its RIFF parts."""
    end = file.seek(0, 2)
    lists, place = [], 0
    while place + 12 <= end:
        file.seek(place)
        name, size, kind = struct.unpack("<4sI4s", file.read(12))
        if (name, kind) == (b"LIST", b"movi"):
            lists.append((place + 12, place + 8 + size))
        # The parts and lists of an AVI file are entered only as far as its `movi` lists.
        place += 12 if name == b"RIFF" else 8 + size + size % 2
    return lists


def chunks_without_content(file: BinaryIO) -> int:
    """The number of video chunks of size 0 in an AVI file."""
    end, empty = file.seek(0, 2), 0
    for start, stop in frame_lists(file):
        place = start
        while place + 8 <= min(stop, end):
            file.seek(place)
            name, size = struct.unpack("<4sI", file.read(8))
            empty += size == 0 and name[2:] in (b"dc", b"db")
            place += 12 if name == b"LIST" else 8 + size + size % 2
    return empty


def bytes_cut_off_avi(file: BinaryIO) -> int:
    """How many bytes of its frames an AVI file lacks. A size of 0 is that of a file that was not finished."""
    end = file.seek(0, 2)
    return max([0, *(stop - end for start, stop in frame_lists(file) if stop > start)])


def bytes_cut_off(path: Path) -> int:
    """How many bytes an MP4 or QuickTime file lacks by the sizes of its boxes; 0 for other files.

    ISO/IEC 14496-12, 4.2: size 1 means that a 64-bit size follows the name, size 0 that the box extends to the end.
    """
    start, end = 0, path.stat().st_size
    with path.open("rb") as file:
        while start + 8 <= end:
            file.seek(start)
            short, name, long = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
            size = {0: end - start, 1: long}.get(short, short)
            if name in BOXES_WITH_FRAMES and start + size > end:
                return int(start + size - end)
            start += max(size, 8)
    return 0
