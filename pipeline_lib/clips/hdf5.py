"""HDF5 files of clips: opened whatever locks the file system has, with errors that say what happened.

Files appear whole under their names and are never changed: locks are not needed, and are left out where the file system
refuses them. A file is called damaged only when it was read.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.file_systems import REFUSED
from pipeline_lib.jobs.runs import error_number

# What is wrong where a file could not be read, and what helps. None of it is damage.
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


@contextmanager
def reading(path: Path, damage: str) -> Iterator[h5py.File]:
    """A file, open for reading. `damage` is said of a file for whose errors the system gives no reason.

    Raises:
        PipelineError: for whatever goes wrong in opening and in the body; names the file.
    """
    try:
        with _opened(path) as file:
            yield file
    except PipelineError:
        raise
    except Exception as error:  # h5py turns what HDF5 finds into errors of many kinds
        raise PipelineError(f"{path} {reason_of(error) or f'{damage} ({error}). Delete it and run again'}") from error


def reason_of(error: BaseException) -> str:
    """What stopped the system from reading a file, and what helps; empty where the content is wrong instead."""
    number = error_number(error, REASONS)
    return f"{REASONS[number]} ({os.strerror(number)})" if number else ""


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error_number(error, REFUSED) is None:
            raise
        return h5py.File(path, "r", locking=False)


def written(path: Path, mode: str) -> h5py.File:
    """A file under a temporary name, which no other process opens: without a lock."""
    return h5py.File(path, mode, locking=False)
