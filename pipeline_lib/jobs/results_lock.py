"""The lock of a folder of results: one workflow at a time makes results in it, from any clone and any machine."""

import logging
from pathlib import Path

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.locks import Release, holder_of, try_lock, wait_for
from pipeline_lib.jobs.planning import SNAKEMAKE

NAME = ".workflow.lock"
_held: dict[Path, Release] = {}


def hold(results: Path, limit: float) -> None:
    """Takes the lock of a folder of results until `release`, or until this process ends. Waits at most `limit` seconds.

    Raises:
        PipelineError: another workflow, whose process and host are named, still has it.
    """
    path = results.absolute() / NAME
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _held[path] = wait_for(lambda: try_lock(path), lambda: f"{holder_of(path)} makes results in {results}", limit)


def hold_or_exit(results: Path, limit: float) -> None:
    """`hold`, in Snakemake's process: one line names the other workflow, and the process exits with status 1.

    An exception would be shown as an error of the rule that Snakemake plans first, with lines of its Snakefile.
    """
    try:
        hold(results, limit)
    except PipelineError as error:
        logging.getLogger(SNAKEMAKE).error(str(error))  # its handler does not format
        raise SystemExit(1) from None


def release(results: Path) -> None:
    """Releases the lock of a folder of results, if this process has it."""
    path = results.absolute() / NAME
    if path in _held:
        _held.pop(path)()
