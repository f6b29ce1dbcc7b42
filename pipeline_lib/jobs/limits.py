"""Limits of a process (open files, disk space), and the number of workers within them."""

import errno
import os
import resource
from pathlib import Path

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER

# For the log, the output, and files that libraries open.
FILES_KEPT_FREE = 16


def workers_within_open_files(workers: int, files: int, what: str) -> int:
    """At most `workers`, limited so that each may open `files` descriptors. Warns if there are fewer.

    what: a worker, in words. Raises PipelineError if the limit is too low for one.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return workers
    fitting = (limit - open_files() - FILES_KEPT_FREE) // files
    if fitting >= workers:
        return workers
    reason = f"the limit of open files is {limit} (ulimit -n), and {what} needs {files} while it starts"
    if fitting < 1:
        raise PipelineError(f"{reason}: raise the limit, as with ulimit -n {limit + files}, and run again")
    LOGGER.warning("%s: %d work at a time instead of %d; raise the limit for more", reason, fitting, workers)
    return fitting


def open_files() -> int:
    """The number of descriptors that this process has open."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:  # not Linux
        return sum(_is_open(number) for number in range(256))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def free_bytes(folder: Path) -> int | None:
    """The bytes that an ordinary user can still write on the disk of a folder."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
