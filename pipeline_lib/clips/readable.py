"""Files checked before decoding: each failure is that of one file, and all are reported together."""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline_lib.clips.status import printable
from pipeline_lib.clips.store_writer import FAILURES_REPORTED
from pipeline_lib.errors import PipelineError


def why_unreadable(path: Path) -> str:
    """Why a file cannot be read, in words; empty if it can. The first byte is read, except of a pipe: it would wait."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "not a regular file"
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.read(descriptor, 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return "the file does not exist"
    except OSError as error:
        return in_words(error)
    return ""


def in_words(error: OSError) -> str:
    """A system error without the path, so that it is the same in every folder."""
    return f"the file cannot be read ({error.strerror or type(error).__name__})"


def require_present(
    paths: Sequence[str], folder: Path, split: str, problem_of: Callable[[Path], str | None] | None = None
) -> None:
    """PipelineError with all files of a list that are missing, empty, no files, or not readable by this user, before
    decoding, which can take hours. A path may continue below a file: it is then a record of this file."""
    reasons = {path: reason for path in paths if (reason := (problem_of or problem)(folder / path)) is not None}
    if reasons:
        named = "".join(f"\n  {path}{reasons[path]}" for path in list(reasons)[:FAILURES_REPORTED])
        more = f"\n  and {len(reasons) - FAILURES_REPORTED} more" if len(reasons) > FAILURES_REPORTED else ""
        raise PipelineError(
            printable(
                f"{len(reasons)} of the {len(paths)} files in the {split} list {summary(set(reasons.values()))} below "
                f"{folder}:{named}{more}\nGet them again, or list them under `decoding.tolerate` to omit them."
            )
        )


def problem(path: Path) -> str | None:
    """What is wrong with a listed file, to be written after its name; None if nothing is."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None if path.parent.is_file() else ""
    except OSError as error:
        return f": {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return ": not a regular file"
    if status.st_size == 0:
        return ": empty"
    return None if os.access(path, os.R_OK) else ": you may not read it (Permission denied)"


def summary(kinds: set[str]) -> str:
    return "do not exist" if kinds == {""} else "cannot be used"
