"""State of long jobs that survives a crash, and results that appear complete or not at all.

Snakemake deletes the declared outputs of a failed job. So a job resumes from an undeclared *run folder*, named by a
hash of everything the job depends on. Another configuration cannot resume it; the same configuration finds it again.
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
from pipeline_lib.jobs.forcing import discard_if_forced
from pipeline_lib.jobs.limits import free_bytes
from pipeline_lib.jobs.locks import locked, locked_if_free
from pipeline_lib.jobs.system_errors import NO_SPACE, error_number

SAVE_EVERY_SECONDS = 300.0
STOPPED = 143  # the exit status of a process that ended by SIGTERM


@contextmanager
def run_folder(root: Path, key: str) -> Iterator[Path]:
    """The folder of a run, locked: an orphaned job and its replacement never use it at the same time. It is emptied for
    a job that the user forces.

    Raises:
        PipelineError: another process still holds the lock after the configured time.
    """
    folder = _made(root / key)
    with locked(folder / "lock"):
        discard_if_forced(folder, "lock")
        yield folder


@contextmanager
def run_folder_if_free(root: Path, key: str) -> Iterator[Path | None]:
    """As `run_folder`; None if another process has the lock."""
    folder = _made(root / key)
    with locked_if_free(folder / "lock") as free:
        if free:
            discard_if_forced(folder, "lock")
        yield folder if free else None


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_write(path: Path, size: int | None = None) -> Iterator[Path]:
    """A temporary path beside `path`; on success it is synchronized to disk and atomically replaces `path`.

    Also deletes temporary files left by killed jobs for the same path; an orphaned job that still writes one fails.
    size: of the content in bytes, if known.

    Raises:
        PipelineError: no space left for the file; the message contains the free space.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        synchronize(temporary)
        temporary.replace(path)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            leftover.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # HDF5 and torch turn the system's errors into RuntimeErrors
        raise explained(error, path, size or size_of(temporary)) from error
    finally:
        temporary.unlink(missing_ok=True)


def explained(error: BaseException, path: Path, size: int) -> BaseException:
    """The error itself, or for a full disk one with advice. size: lower bound of the bytes that the file needs."""
    number = error_number(error, NO_SPACE)
    if number is None:
        return error
    free = free_bytes(path.parent)
    facts = [f"the file needs {size:,} bytes or more"] if size else []  # 0: nothing of it could be written
    facts += [] if free is None else [f"its disk has {free:,} free"]
    there = f" ({'; '.join(facts)})" if facts else ""
    return PipelineError(
        f"{path}: no space left ({os.strerror(number)}); free some and run again, finished work is kept{there}"
    )


def size_of(path: Path) -> int:
    """The size in bytes; 0 for a file that does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def publish(result: Path, output: Path) -> None:
    """Publishes a finished result of a run folder as the declared output, by a hard link if possible."""
    with atomic_write(output) as temporary:
        link_or_copy(result, temporary)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """A function that returns whether SIGTERM or SIGINT was received: the job then saves its state and ends."""
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
