"""System calls that local file systems serve and network ones may refuse, each with another way to the same end.

Folders are not synchronized: after a power failure a renamed file is there whole or is still the old one, and both are
states that a rerun goes on from. `shutil.copyfile` itself goes without `sendfile` where that is refused.
"""

import errno
import os
import shutil
from pathlib import Path

# "Not here": what a system call answers where the file system, a sandbox or an old kernel does not have it.
REFUSED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK)
NO_LINKS = (*REFUSED, errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK)
BLOCK = 1 << 20


def reserve(path: Path, size: int) -> None:
    """Gives a file `size` bytes of disk and keeps its content; OSError when there are not so many.

    The descriptor must not be one for appending: glibc emulates the call on ext2 and NFS before 4.2, but not for those.
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
    """Writes every block as it is read, holes and what is behind the end as zeros."""
    for start in range(0, size, BLOCK):
        length = min(BLOCK, size - start)
        block = memoryview(os.pread(file, length, start).ljust(length, b"\0"))
        while block:
            written = os.pwrite(file, block, start)
            block, start = block[written:], start + written


def link_or_copy(source: Path, target: Path) -> None:
    """A second name of a file, or a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)


def synchronize(path: Path) -> None:
    """Waits until a file is on disk, where the file system can say so."""
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in REFUSED:
                raise


def advise_reading(file: int, offset: int, size: int) -> None:
    """Asks the system to read a stretch of a file in the background; a refused hint is no error."""
    try:
        os.posix_fadvise(file, offset, size, os.POSIX_FADV_WILLNEED)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
