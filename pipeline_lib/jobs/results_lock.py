"""The lock of a folder of results: one workflow at a time makes results in it, from any clone and any machine."""

from pathlib import Path

from pipeline_lib.jobs.locks import Release, holder_of, try_lock, wait_for

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


def release(results: Path) -> None:
    """Releases the lock of a folder of results, if this process has it."""
    path = results.absolute() / NAME
    if path in _held:
        _held.pop(path)()
