"""Image files that are whole, cut, damaged, or no images at all, each with the status that it has to have."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
Change = Callable[[bytes], bytes]


class Hostile(NamedTuple):
    """A file: its name, its content (or what makes it at a path), and the status that is right."""

    name: str
    content: bytes | Callable[[Path], object]
    status: str


def image(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """A file with noise."""
    buffer = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def several(kind: str) -> bytes:
    """A file with three images: noise, then gray ones."""
    buffer = io.BytesIO()
    more = [Image.new("RGB", (16, 16), (level, level, level)) for level in (99, 199)]
    Image.fromarray(NOISE).save(buffer, kind, save_all=True, append_images=more)
    return buffer.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def of_array(kind: str, array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, data: bytes, *before: bytes) -> bytes:
    """An RGB file of a stated size with data that need not fit."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def with_byte(place: float, content: bytes) -> bytes:
    """A file with one byte changed."""
    changed = bytearray(content)
    changed[int(len(content) * place)] ^= 0xFF
    return bytes(changed)


def deep_tiff() -> bytes:
    """16 bits per channel of RGB, uncompressed, little-endian."""
    pixels = np.random.default_rng(1).integers(0, 2**16, (16, 16, 3), np.uint16).tobytes()
    tags = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 140)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 16), (279, 4, 1, len(pixels))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)
    return head.ljust(134, b"\0") + struct.pack("<HHH", 16, 16, 16) + pixels


ROWS = b"".join(b"\0" + row.tobytes() for row in NOISE)
EXIF = Image.Exif()
EXIF[0x0112] = 6
WHOLE = [
    Hostile("whole.png", image("PNG"), "OK"),
    Hostile("whole.jpg", image("JPEG"), "OK"),
    Hostile("progressive.jpg", image("JPEG", progressive=True), "OK"),
    Hostile("cmyk.jpg", image("JPEG", "CMYK"), "OK"),
    Hostile("gray.jpg", image("JPEG", "L"), "OK"),
    Hostile("whole.webp", image("WEBP", lossless=True), "OK"),
    Hostile("whole.tif", image("TIFF"), "OK"),
    Hostile("packed.tif", image("TIFF", compression="tiff_lzw"), "OK"),
    Hostile("whole.bmp", image("BMP"), "OK"),
    Hostile("whole.gif", image("GIF"), "OK"),
    Hostile("whole.ppm", image("PPM"), "OK"),
    Hostile("palette.png", image("PNG", "P"), "OK"),
    Hostile("transparent.png", image("PNG", "RGBA"), "OK"),
    Hostile("bilevel.png", image("PNG", "1"), "OK"),
    Hostile("gray_and_alpha.png", image("PNG", "LA"), "OK"),
    Hostile("called_png.png", image("JPEG"), "OK"),
    Hostile("no_ending", image("PNG"), "OK"),
    Hostile("moving.gif", several("GIF"), "OK"),
    Hostile("moving.webp", several("WEBP"), "OK"),
    Hostile("moving.png", several("PNG"), "OK"),
    Hostile("pages.tif", several("TIFF"), "OK"),
    Hostile("turned.jpg", image("JPEG", exif=EXIF), "OK"),
    Hostile("bad_exif.png", image("PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), "OK"),
    Hostile("junk_behind.png", image("PNG") + b"junk" * 99, "OK"),
    Hostile("junk_behind.jpg", image("JPEG") + b"junk" * 99, "OK"),
    Hostile("{z} %03d 'x'.png", image("PNG"), "OK"),
]
DAMAGED = [
    Hostile("half.png", half(image("PNG")), "FAILED"),
    Hostile("half.jpg", half(image("JPEG")), "FAILED"),
    Hostile("half_progressive.jpg", half(image("JPEG", progressive=True)), "FAILED"),
    Hostile("half.webp", half(image("WEBP", lossless=True)), "FAILED"),
    Hostile("half.tif", half(image("TIFF")), "FAILED"),
    Hostile("half.bmp", half(image("BMP")), "FAILED"),
    Hostile("half.gif", half(image("GIF")), "FAILED"),
    Hostile("half.ppm", half(image("PPM")), "FAILED"),
    Hostile("one_byte.png", with_byte(0.5, image("PNG")), "FAILED"),
    Hostile("no_rows.png", png(16, 16, b""), "FAILED"),
    Hostile("too_few_rows.png", png(16, 16, ROWS[: len(ROWS) // 2]), "FAILED"),
    Hostile("no_size.png", png(0, 16, ROWS), "FAILED"),
    Hostile("bomb.png", png(60_000, 60_000, bytes(1000)), "FAILED"),
    Hostile("text_bomb.png", png(16, 16, ROWS, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000)))), "FAILED"),
    Hostile("deep.png", of_array("PNG", np.full((16, 16), 40_000, np.uint16)), "FAILED"),
    Hostile("floats.tif", of_array("TIFF", np.full((16, 16), 0.5, np.float32)), "FAILED"),
    Hostile("deep.tif", deep_tiff(), "OK"),  # the upper 8 bits, as `convert` states
]
NO_IMAGES = [
    Hostile("text.png", b"not an image", "FAILED"),
    Hostile("empty.jpg", b"", "FAILED"),
    Hostile("random.png", np.random.default_rng(2).bytes(3000), "FAILED"),
    Hostile("script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "FAILED"),
    Hostile("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "FAILED"),
    Hostile("icon.ico", image("ICO"), "FAILED"),
    Hostile("page.pdf", image("PDF"), "FAILED"),
    Hostile("folder.png", lambda path: path.mkdir(), "FAILED"),
    Hostile("pipe.png", lambda path: os.mkfifo(path), "FAILED"),
    Hostile("missing.png", lambda path: None, "FAILED"),
    Hostile("broken_disk.png", lambda path: path.symlink_to("/proc/self/mem"), "FAILED"),
]
IMAGES = {one.name: one for one in [*WHOLE, *DAMAGED, *NO_IMAGES]}


def hostile_images(folder: Path) -> dict[str, Path]:
    """All files of the table, made in a folder, by their names."""
    for name, one in IMAGES.items():
        if isinstance(one.content, bytes):
            (folder / name).write_bytes(one.content)
        else:
            one.content(folder / name)
    return {name: folder / name for name in IMAGES}
