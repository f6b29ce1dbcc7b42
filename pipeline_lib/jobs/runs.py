"""State of long jobs that survives a crash, and results that appear whole or not at all.

Snakemake deletes the declared outputs of a failed job, so what a job resumes from is undeclared: a *run folder* keyed
by a hash of everything the job depends on. Another configuration can never resume it; going back finds it again.
"""

import glob
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.file_systems import link_or_copy, synchronize
from pipeline_lib.jobs.limits import free_bytes
from pipeline_lib.jobs.locks import locked
from pipeline_lib.jobs.system_errors import NO_SPACE, error_number

SAVE_EVERY_SECONDS = 300.0
STOPPED = 143  # the exit status of a process that ended on SIGTERM


@contextmanager
def run_folder(root: Path, key: str) -> Iterator[Path]:
    """The folder of a run, locked: an orphaned job and its replacement never work in it together.

    Raises:
        PipelineError: another process has had the lock for as long as this job may wait.
    """
    folder = root / key
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        yield folder


@contextmanager
def atomic_write(path: Path, size: int | None = None) -> Iterator[Path]:
    """A temporary name beside `path`; on success its content is on disk and takes the place of `path` at once.

    What killed jobs had begun for the same path goes then; an orphaned job that still writes fails, and nobody waits.
    size: of the content in bytes, if it is known.

    Raises:
        PipelineError: no space left for the file; says how much there is.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        synchronize(temporary)
        temporary.replace(path)
        for begun in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            begun.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # HDF5 and torch turn the system's errors into RuntimeErrors
        raise explained(error, path, size or size_of(temporary)) from error
    finally:
        temporary.unlink(missing_ok=True)


def explained(error: BaseException, path: Path, size: int) -> BaseException:
    """The error itself, or for a full disk one that says what to do. size: bytes that the file needs, or more."""
    number = error_number(error, NO_SPACE)
    if number is None:
        return error
    free = free_bytes(path.parent)
    there = "" if free is None else f"; its disk has {free:,} free"
    return PipelineError(
        f"{path}: no space left ({os.strerror(number)}); free some and run again, finished work is kept (the file "
        f"needs {size:,} bytes or more{there})"
    )


def size_of(path: Path) -> int:
    """0 for a file that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def publish(result: Path, output: Path) -> None:
    """Makes a finished result of a run folder the declared output; both names share the bytes where they can."""
    with atomic_write(output) as temporary:
        link_or_copy(result, temporary)


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
