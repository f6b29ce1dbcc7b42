"""State of long jobs that survives a crash, and results that appear whole or not at all.

Snakemake deletes the declared outputs of a failed job, so what a job resumes from is undeclared: a *run folder* keyed
by a hash of everything the job depends on. Another configuration can never resume it; going back finds it again.
"""

import errno
import fcntl
import glob
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER

# A full disk, a used-up quota, a limit on the size of files.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SAVE_EVERY_SECONDS = 300.0
STOPPED = 143  # the exit status of a process that ended on SIGTERM


@contextmanager
def run_folder(root: Path, key: str) -> Iterator[Path]:
    """The folder of a run, locked: an orphaned job and its replacement never work in it together."""
    folder = root / key
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOGGER.info("another job works on the same run: waiting for %s", folder / "lock")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; on success its content is on disk and takes the place of `path` at once.

    What killed jobs had begun for the same path goes then; an orphaned job that still writes fails, and nobody waits.

    Raises:
        PipelineError: no space left for the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        for begun in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            begun.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # HDF5 and torch turn the system's errors into RuntimeErrors
        raise explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def explained(error: BaseException, path: Path) -> BaseException:
    """The error itself, or for a full disk one that says what to do."""
    for number in NO_SPACE:
        if any(_tells(cause, number) for cause in _causes(error)):
            reason = os.strerror(number)
            return PipelineError(f"{path}: no space left ({reason}); free some and run again, finished work is kept")
    return error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from or during: torch's errors do not repeat the system's."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tells(error: BaseException, number: int) -> bool:
    return getattr(error, "errno", None) == number or f"errno = {number}," in str(error)  # HDF5 has it in its text


def publish(result: Path, output: Path) -> None:
    """Makes a finished result of a run folder the declared output; both names share the bytes where they can."""
    with atomic_write(output) as temporary:
        try:
            os.link(result, temporary)
        except OSError:
            shutil.copyfile(result, temporary)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """A question that says whether SIGTERM or SIGINT came: the job then saves its state and leaves."""
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
