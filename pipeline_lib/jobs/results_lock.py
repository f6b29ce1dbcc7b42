"""The lock of a folder of results: one workflow at a time makes results in it, from any clone and any machine."""

from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.locks import Release, holder_of, try_lock, wait_for
from pipeline_lib.jobs.logs import SNAKEMAKE

NAME = ".workflow.lock"
SNAKEMAKE_LOCKS = "locks"  # a folder in `.snakemake`
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
        SNAKEMAKE.error(str(error))
        raise SystemExit(1) from None


def release(results: Path) -> None:
    """Releases the lock of a folder of results, if this process has it."""
    path = results.absolute() / NAME
    if path in _held:
        _held.pop(path)()


def release_after_snakemake(persistence: Any, results: Path) -> None:
    """Snakemake's own locks are inside of this one: it is released when Snakemake has removed them, and their folder.

    Snakemake removes that folder although another workflow may wait to write into it, so it is made again here. A
    workflow without Snakemake's locks (`--nolock`) keeps this one until its process ends.
    """
    Path(persistence.path, SNAKEMAKE_LOCKS).mkdir(parents=True, exist_ok=True)
    remove = persistence._delete_locks

    def remove_and_release() -> None:
        remove()
        release(results)

    persistence._delete_locks = remove_and_release
