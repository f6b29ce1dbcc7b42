"""Records of identities, written by the jobs themselves once their results are complete."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.provenance.file_facts import OF_SNAKEMAKE
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
    for file in (file for files in identity["inputs"].values() for file in files):
        make_no_later_than_now(results / file["path"])
    path.unlink(missing_ok=True)
    yield
    write_record(path, record_of(identity, results))


def make_no_later_than_now(path: Path) -> None:
    """Sets a time of modification in the future to the present, if that is permitted.

    After a clock was set back Snakemake would refuse new results as older than the files that they are made of.
    """
    for made in (path, path / OF_SNAKEMAKE):
        with suppress(OSError):
            if made.stat().st_mtime > time.time():
                os.utime(made)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record, complete or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(sealed(record), encoding="utf-8")
