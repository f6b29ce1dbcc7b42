"""Records of identities, written by the jobs themselves once their results are complete."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.provenance.records import record_of, require_recorded_bytes, sealed


@contextmanager
def recorded(identity: Mapping[str, Any] | None, results: Path) -> Iterator[None]:
    """Removes the record of a job, and writes it after the body: results without a record are never used.

    identity: None for a rule of the user without one.

    Raises:
        PipelineError: an input file is not the one that its own record describes.
    """
    if identity is None:
        yield
        return
    path = results / identity["record"]
    require_recorded_bytes(identity, results)
    path.unlink(missing_ok=True)
    yield
    write_record(path, record_of(identity, results))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record, complete or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(sealed(record), encoding="utf-8")
