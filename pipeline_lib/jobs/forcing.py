"""Jobs that the user forces (`--forcerun`, `-F`, `-f`) do not use what an earlier run of the same work has kept.

The workflow leaves a mark for each of them when it starts; the first attempt removes what is kept, and the mark.
"""

import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path

from pipeline_lib.context import holding
from pipeline_lib.jobs.logs import LOGGER

MARK: ContextVar[Path | None] = ContextVar("MARK", default=None)


def marks(results: Path) -> Path:
    """The folder of marks."""
    return results / ".runs" / "forced"


def mark(results: Path, identities: Iterable[str]) -> None:
    """Marks the jobs of these identities, and no others."""
    shutil.rmtree(marks(results), ignore_errors=True)
    for identity in identities:
        marks(results).mkdir(parents=True, exist_ok=True)
        (marks(results) / identity).touch()


def marked_by(path: Path | None) -> AbstractContextManager[Path | None]:
    """Inside, `discard_if_forced` looks for this mark."""
    return holding(MARK, path)


def discard_if_forced(folder: Path, kept: str) -> None:
    """Empties the run folder of a job that is marked, but for the files whose names begin with `kept`."""
    path = MARK.get()
    if path is None or not path.exists():
        return
    for found in folder.iterdir():
        if found.is_dir():
            shutil.rmtree(found)
        elif not found.name.startswith(kept):
            found.unlink()
    path.unlink(missing_ok=True)
    LOGGER.info("forced: what an earlier run kept in %s is removed", folder)
