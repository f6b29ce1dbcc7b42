"""System errors anywhere in a chain of exceptions, with advice. None of them means that a file is damaged."""

import errno
import os
from collections.abc import Iterable, Iterator

# A full disk, an exhausted quota, a limit on the size of files.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Why a file could not be read, and what to do.
REASONS = {
    errno.ENOENT: "does not exist: run the rule that makes it",
    errno.EISDIR: "is a folder: move it away and run again",
    errno.EAGAIN: "is locked: another program has it open for writing; close that program and run again",
    errno.EACCES: "may not be read by you: ask for the right to read it, or use other results, and run again",
    errno.EPERM: "may not be read by you: ask for the right to read it, or use other results, and run again",
    errno.EIO: "could not be read from its disk: check the disk or the network and run again",
    errno.ESTALE: "is gone from its network file system, or was replaced there: run again",
    errno.ENOLCK: "is on a file system without locks: set HDF5_USE_FILE_LOCKING=FALSE and run again",
    errno.EMFILE: "could not be opened, too many files are open: raise the limit (ulimit -n) and run again",
    errno.ENFILE: "could not be opened, too many files are open on this machine: run again",
    errno.ENOMEM: "could not be read, the memory is full: run again with less in it",
}


def reason_of(error: BaseException) -> str:
    """Why the system could not read a file, and what to do; empty if the content is invalid instead."""
    number = error_number(error, REASONS)
    return f"{REASONS[number]} ({os.strerror(number)})" if number else ""


def error_number(error: BaseException, numbers: Iterable[int]) -> int | None:
    """The first of the system's error numbers found in an error or its causes."""
    causes = list(_causes(error))
    return next((number for number in numbers if any(_names(cause, number) for cause in causes)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes and contexts: torch's errors do not repeat those of the system."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _names(error: BaseException, number: int) -> bool:
    return getattr(error, "errno", None) == number or f"errno = {number}," in str(error)  # in HDF5's text
