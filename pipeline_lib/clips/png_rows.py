"""Whether the data of a PNG file end before its last row: Pillow reports nothing, and leaves the other rows black."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by the color type
AT_ONCE = 1 << 20


def lacks_rows(path: Path, image: Image.Image) -> bool:
    """Whether rows of a loaded image are missing in its file. Only a black last row is looked into, and no interlaced
    file, whose rows are in seven parts."""
    if image.format != "PNG" or image.crop((0, image.height - 1, *image.size)).getbbox() is not None:
        return False
    chunks = dict(heads := list(chunks_of(path)))
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"][:13])
    rows = height * (1 + (width * depth * SAMPLES[color] + 7) // 8)
    return not interlaced and inflated((data for name, data in heads if name == b"IDAT"), rows) < rows


def chunks_of(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of a PNG file's chunks."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            yield name, file.read(size)
            file.seek(4, 1)  # the checksum


def inflated(parts: Iterator[bytes], limit: int) -> int:
    """The size of compressed data, counted up to a limit."""
    stream, size = zlib.decompressobj(), 0
    for part in parts:
        while part and size < limit:
            size += len(stream.decompress(part, AT_ONCE))
            part = stream.unconsumed_tail
    return size
