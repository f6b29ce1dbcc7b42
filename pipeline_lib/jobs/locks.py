"""Locks between processes: system locks if the file system supports them, else a file that names its holder.

A holder writes its process and host into the lock, so that waiting processes can report it.
"""

import errno
import fcntl
import functools
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from pipeline_lib.context import holding
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.file_systems import REFUSED
from pipeline_lib.jobs.logs import LOGGER

Found = TypeVar("Found")
Release = Callable[[], None]
HELD = (errno.EAGAIN, errno.EACCES)
POLL_EVERY_SECONDS, REPEAT_EVERY_SECONDS = 0.2, 600.0
# Seconds that a job waits for the lock of a run: the configuration's `lock_wait`.
LONGEST_WAIT: ContextVar[float] = ContextVar("LONGEST_WAIT", default=7200.0)


def waiting_at_most(seconds: float) -> AbstractContextManager[float]:
    """Inside, waiting for the lock of a run fails after `seconds`."""
    return holding(LONGEST_WAIT, seconds)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock `path`; waits for it at most the configured time.

    Raises:
        PipelineError: another process, which is named, still holds it.
    """

    def holder() -> str:
        return f"{holder_of(path)} has the lock {path}"

    release = wait_for(lambda: try_lock(path), holder, LONGEST_WAIT.get())
    try:
        yield
    finally:
        release()


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Holds the lock `path` and gives True; False if another process has it."""
    release = try_lock(path)
    try:
        yield release is not None
    finally:
        if release is not None:
            release()


def wait_for(take: Callable[[], Found | None], holder: Callable[[], str], limit: float = float("inf")) -> Found:
    """Calls `take` until it returns a result; reports on the console which process holds it.

    Raises:
        PipelineError: no result after `limit` seconds.
    """
    began, announced = time.monotonic(), -REPEAT_EVERY_SECONDS
    while (found := take()) is None:
        waited = time.monotonic() - began
        if waited > limit:
            raise PipelineError(
                f"gave up after {waited:.0f} s (`lock_wait`) of waiting: {holder()}. If that process is stopped or "
                "not needed, end it (kill -CONT and kill) and run again"
            )
        if waited - announced >= REPEAT_EVERY_SECONDS:
            announced = waited
            LOGGER.warning("waiting: %s", holder())
            print(f"process {os.getpid()} is waiting: {holder()}", file=sys.stderr, flush=True)
        time.sleep(POLL_EVERY_SECONDS)
    return found


def try_lock(path: Path) -> Release | None:
    """Takes a lock that ends with this process. Returns its release function, or None if another process holds it."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    for way in fcntl.flock, fcntl.lockf:
        try:
            way(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in REFUSED:
                os.close(file)
                if error.errno in HELD:
                    return None
                raise
            _warn_of(path.parent, way.__name__, os.strerror(error.errno))
        else:
            with suppress(OSError):  # a full disk: the name is only for messages of waiting processes
                os.ftruncate(file, 0)
                os.pwrite(file, _own_name().encode(), 0)
            return functools.partial(os.close, file)
    os.close(file)
    return _try_file(_file_of(path))


@functools.cache
def _warn_of(folder: Path, way: str, reason: str) -> None:
    """Warns once for each folder and process."""
    LOGGER.warning("%s: this file system refuses %s (%s); another kind of lock is used", folder, way, reason)


def _file_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.held")


def _try_file(path: Path) -> Release | None:
    """Takes a lock that is a file. The file of a killed process is removed by the next one on the same host."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        _remove_left(path)
        return None
    try:
        os.write(file, _own_name().encode())
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(file)
    return functools.partial(path.unlink, missing_ok=True)


def _remove_left(path: Path) -> None:
    """Removes the lock of an ended process. It is renamed first, as another process may be replacing it."""
    content = _read(path)
    if not _has_ended(content):
        return
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) == content:
        aside.unlink()
    else:
        aside.rename(path)


def _own_name() -> str:
    return f"{os.getpid()} {_start_of(os.getpid())} {socket.gethostname()}"


def _has_ended(content: str) -> bool:
    """Whether a lock's content names a process of this host that has ended."""
    number, _, rest = content.partition(" ")
    start, _, host = rest.partition(" ")
    return number.isdigit() and host == socket.gethostname() and _start_of(int(number)) != start


def _start_of(number: int) -> str:
    """Start time of a process in clock ticks since boot, or "-": process numbers are reused, the pair is not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def holder_of(path: Path) -> str:
    """The holder of a lock, in words."""
    held = _file_of(path)
    number, _, rest = (_read(held) or _read(path)).partition(" ")
    host = rest.partition(" ")[2]
    where = f" (if it has ended, delete {held})" if held.exists() else ""
    return f"process {number} on {host}{where}" if host else f"another process{where}"
