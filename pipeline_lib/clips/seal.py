"""A checksum of an HDF5 file without its frames, which have their own: checked before HDF5 reads any of it.

HDF5 does not detect a flipped bit in a label or a name, and fails in many ways on one in its own structures. The
checksum is in the file's user block, in front of what HDF5 reads and writes; all numbers are little-endian:

    mark, CRC-32 (uint32), size of the block (uint32), size of the file (uint64), number of excluded byte ranges
    (uint64), their offsets and sizes (uint64 pairs), zeros

The CRC-32 is computed over the bytes outside the excluded ranges, with zeros at its own position.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

MARK = b"CLIPSEAL"
HEADER = struct.Struct("<8sIIQQ")
READ_SIZE = 1 << 20


def block_size(ranges: int) -> int:
    """Size of the user block for so many excluded ranges: HDF5 requires a power of two, 512 at least."""
    return int(max(512, 1 << (HEADER.size + 16 * ranges - 1).bit_length()))


def seal(path: Path, frames: Iterable[tuple[int, int]], size: int) -> None:
    """Writes the seal into the user block of `size` bytes. frames: offset and size of each excluded range."""
    table = merged_ranges(frames)
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        parts = MARK, 0, size, end, len(table)
        block = (HEADER.pack(*parts) + table.tobytes()).ljust(size, b"\0")
        value = checksum_outside(file, block, table, end)
        file.seek(0)
        file.write(HEADER.pack(MARK, value, *parts[2:]) + block[HEADER.size :])


def is_sealed(path: Path) -> bool:
    """Whether a file begins with a seal, valid or not."""
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK


def complaint_of(path: Path) -> str:
    """The damage to the bytes outside the frames of a sealed file; empty when there is none.

    Raises:
        OSError: they cannot be read, or another program has the file open for writing.
    """
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        header = file.read(HEADER.size).ljust(HEADER.size, b"\0")
        _, value, size, expected, count = HEADER.unpack(header)
        if HEADER.size + 16 * count <= size <= end and _value(file, header, size, count, end) == value:
            return "" if end == expected else "is damaged: its size has changed"
        _require_unlocked(file)
        return f"is truncated: {end:,} of {expected:,} bytes" if end < expected else "is damaged: its bytes changed"


def _value(file: BinaryIO, header: bytes, size: int, count: int, end: int) -> int:
    """The CRC-32 that belongs in a header."""
    block = bytearray(header + os.pread(file.fileno(), size - HEADER.size, HEADER.size))
    block[8:12] = bytes(4)
    table = np.frombuffer(block, "<u8", 2 * count, HEADER.size).reshape(-1, 2)
    return checksum_outside(file, bytes(block), table, end)


def _require_unlocked(file: BinaryIO) -> None:
    """BlockingIOError when a program has an HDF5 file open for writing: it may change the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # the file system has no locks
        return
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)


def merged_ranges(ranges: Iterable[tuple[int, int]]) -> np.ndarray:
    """Offsets and sizes (n, 2) uint64 in increasing order; adjacent ranges are merged."""
    joined: list[list[int]] = []
    for offset, size in sorted(ranges):
        if joined and sum(joined[-1]) == offset:
            joined[-1][1] += size
        else:
            joined.append([offset, size])
    return np.array(joined, "<u8").reshape(-1, 2)


def checksum_outside(file: BinaryIO, block: bytes, table: np.ndarray, end: int) -> int:
    """The CRC-32 of a block and of the rest of a file of `end` bytes, without the excluded ranges; -1 if a range is not
    in the file."""
    value, start = zlib.crc32(block), len(block)
    for offset, size in [*table.tolist(), (end, 0)]:
        while start < offset:
            content = os.pread(file.fileno(), min(READ_SIZE, offset - start), start)
            if not content:
                return -1
            value, start = zlib.crc32(content, value), start + len(content)
        start = offset + size
    return value
