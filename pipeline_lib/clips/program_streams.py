"""MPEG program streams (.mpg, .vob): whether the last packet is complete (ISO/IEC 13818-1, 2.5)."""

from typing import BinaryIO

TAIL = 1 << 18
PACK, END, PADDING = 0xBA, 0xB9, 0xBE


def cut_packet(file: BinaryIO) -> str:
    """The bytes that the last packet lacks, in words; empty if it is complete, padding, or cannot be found."""
    end = file.seek(0, 2)
    start = max(0, end - TAIL)
    file.seek(start)
    tail = file.read(TAIL)
    place = tail.find(b"\0\0\1\xba")
    while 0 <= place < len(tail) and tail[place : place + 3] == b"\0\0\1"[: len(tail) - place]:
        kind = tail[place + 3] if place + 3 < len(tail) else PADDING
        following = place + length(tail, place, kind)
        if following > len(tail):
            lacking = following - len(tail)
            return "" if kind == PADDING else f"{lacking} bytes of the last packet are missing"
        place = following
    return ""


def length(tail: bytes, place: int, kind: int) -> int:
    """Bytes of the pack header or packet at a place, as far as its own header states them."""
    if kind == END:
        return 4
    if kind == PACK:
        if place + 5 > len(tail):
            return 12
        mpeg1 = tail[place + 4] >> 4 == 0b0010
        return 12 if mpeg1 else 14 + (tail[place + 13] & 7 if place + 13 < len(tail) else 0)
    return 6 + int.from_bytes(tail[place + 4 : place + 6].ljust(2, b"\0"))
