"""System calls that network file systems may not support, each with a fallback.

Folders are not synchronized: after a power failure a renamed file is complete or still the old one, and a rerun
continues from either. `shutil.copyfile` has its own fallback for `sendfile`.
"""

import errno
import os
import shutil
from pathlib import Path

# Errors of system calls that the file system, a sandbox or an old kernel does not support.
REFUSED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK)
NO_LINKS = (*REFUSED, errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK)
BLOCK = 1 << 20


def reserve(path: Path, size: int) -> None:
    """Allocates `size` bytes of disk for a file and keeps its content. Raises OSError if the disk is too small.

    The descriptor must not be opened for appending: for those glibc does not emulate the call (ext2, NFS before 4.2).
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (*REFUSED, errno.EBADF, errno.EPERM):
            raise
        _write_through(file, size)
    finally:
        os.close(file)


def _write_through(file: int, size: int) -> None:
    """Rewrites every block with its content; holes, and bytes beyond the end, are written as zeros."""
    for start in range(0, size, BLOCK):
        length = min(BLOCK, size - start)
        block = memoryview(os.pread(file, length, start).ljust(length, b"\0"))
        while block:
            written = os.pwrite(file, block, start)
            block, start = block[written:], start + written


def link_or_copy(source: Path, target: Path) -> None:
    """Makes a hard link to a file, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)


def synchronize(path: Path) -> None:
    """Waits until a file is on disk, if the file system supports it."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in REFUSED:
                raise


def advise_reading(file: int, offset: int, size: int) -> None:
    """Requests reading a range of a file in the background; a refusal is ignored."""
    try:
        os.posix_fadvise(file, offset, size, os.POSIX_FADV_WILLNEED)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
