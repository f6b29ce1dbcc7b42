"""Whether a file of an additional container has its end: FLV, MPEG transport streams, Ogg, ASF, and Y4M.

Each by what the container itself states; raw streams (.m2v, .h264) state nothing.
"""

import re
import struct
from typing import BinaryIO

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
HEAD, TAIL = 1 << 14, 1 << 17
TS_SYNC, TS_PACKETS = 0x47, (188, 192, 204)
OGG_END_OF_STREAM = 4
# Bits per pixel of Y4M's color spaces: https://wiki.multimedia.cx/index.php/YUV4MPEG2
Y4M_BITS = {"420": 12, "411": 12, "422": 16, "444": 24, "mono": 8}


def cut_end(file: BinaryIO) -> str:
    """What the file lacks at its end, in words; empty for a whole file and for other containers."""
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD)
    if head[:3] == b"FLV":
        return _flv(file, head, end)
    if head[:4] == b"OggS":
        return _ogg(file, end)
    if head[:16] == ASF:
        return lacking(_asf_size(head) - end)
    if head[:10] == b"YUV4MPEG2 ":
        return _y4m(head, end)
    return _transport_stream(head, end)


def lacking(count: int) -> str:
    return f"{count} bytes are missing at the end of the file" if count > 0 else ""


def _transport_stream(head: bytes, end: int) -> str:
    """Packets of a fixed size that begin with the same byte, or with it after a time stamp (ISO/IEC 13818-1, 2.4)."""
    for size in TS_PACKETS:
        first = size - 188 if size == 192 else 0
        if len(head) > 3 * size and all(head[first + number * size] == TS_SYNC for number in range(3)):
            return lacking(-end % size)
    return ""


def _flv(file: BinaryIO, head: bytes, end: int) -> str:
    """By the size in the metadata, and by the sizes of tags (Adobe Flash Video specification, E.3 and E.5)."""
    place, name = 13, b"filesize\0"  # then a number: a double
    if 0 <= (at := head.find(name)) <= len(head) - len(name) - 8:
        stated = int(struct.unpack_from(">d", head, at + len(name))[0])
        if stated > end:
            return lacking(stated - end)
    while place < end:
        file.seek(place + 1)
        place += 11 + int.from_bytes(file.read(3)) + 4
    return lacking(place - end)


def _ogg(file: BinaryIO, end: int) -> str:
    """The last page is whole, and the last one of its stream (RFC 3533, section 6)."""
    file.seek(max(0, end - TAIL))
    tail = file.read()
    place = tail.rfind(b"OggS")
    if place < 0 or place + 27 > len(tail):
        return "the end of the last page is missing"
    segments = tail[place + 27 : place + 27 + tail[place + 26]]
    if len(segments) < tail[place + 26] or place + 27 + len(segments) + sum(segments) > len(tail):
        return "the end of the last page is missing"
    return "" if tail[place + 5] & OGG_END_OF_STREAM else "its last page is not the end of a stream"


def _asf_size(head: bytes) -> int:
    """The size in the header; 0 where it is not valid, as in a broadcast (ASF specification, 3.2)."""
    at = head.find(ASF_FILE_PROPERTIES)
    if at < 0 or at + 92 > len(head):
        return 0
    size, flags = struct.unpack_from("<Q", head, at + 40)[0], struct.unpack_from("<I", head, at + 88)[0]
    return 0 if flags & 1 else int(size)


def _y4m(head: bytes, end: int) -> str:
    """Frames of one size after a line; not where frames have parameters of their own."""
    line, _, after = head.partition(b"\n")
    fields = {field[0]: field[1:] for field in line.decode("ascii", "replace").split()[1:] if field}
    color = re.match(r"(420|411|422|444|mono)", fields.get("C", "420"))
    if not color or not after.startswith(b"FRAME\n") or not (fields["W"] + fields["H"]).isdigit():
        return ""
    deep = 1 + bool(re.search(r"(p|mono)(9|1\d)$", fields.get("C", "")))
    frame = 6 + deep * int(fields["W"]) * int(fields["H"]) * Y4M_BITS[color[1]] // 8
    return lacking(-(end - len(line) - 1) % frame)
