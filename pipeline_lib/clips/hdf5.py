"""HDF5 files of clips: opened with or without file locks, with errors that name the cause.

Files are published complete and are never changed. So locks are not needed, and are not used where the file system
refuses them. A file is reported as damaged only after it was read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from pipeline_lib.clips.seal import complaint_of, is_sealed
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.file_systems import REFUSED
from pipeline_lib.jobs.system_errors import error_number, reason_of

REMAKE = "Delete it and run again"


@contextmanager
def reading(path: Path, kind: str, layout: int) -> Iterator[h5py.File]:
    """A file of this pipeline, checked and open for reading. kind, layout: required attributes `kind` and `format`.

    Raises:
        PipelineError: for any failure in opening and in the body; names the file.
    """
    with _errors_named(path):
        if is_sealed(path) and (complaint := complaint_of(path)):
            raise PipelineError(f"{path} {complaint}. {REMAKE}")
    with reading_again(path) as file:
        _check_kind(path, file, kind, layout)
        yield file


@contextmanager
def reading_again(path: Path) -> Iterator[h5py.File]:
    """`reading` of a file that was checked when it was first opened."""
    with _errors_named(path), _opened(path) as file:
        yield file


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # h5py raises HDF5's failures as errors of many types
        text = reason_of(error) or f"is not an HDF5 file, or is truncated ({error}). {REMAKE}"
        raise PipelineError(f"{path} {text}") from error


def _check_kind(path: Path, file: h5py.File, kind: str, layout: int) -> None:
    """PipelineError when an HDF5 file is foreign, incomplete or of another layout."""
    if "format" not in file.attrs or file.attrs.get("kind", kind) != kind:
        raise PipelineError(f"{path} is not {kind}. Move it away and run again")
    if file.attrs["format"] != layout:
        found = file.attrs["format"]
        raise PipelineError(
            f"{path} has format {found}, but this version of the code reads format {layout}. Move it away and run again"
        )
    if not file.attrs.get("complete", False):
        raise PipelineError(f"{path} is incomplete. {REMAKE}")
    if not is_sealed(path):
        raise PipelineError(f"{path} is damaged: its checksum is missing. {REMAKE}")


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error_number(error, REFUSED) is None:
            raise
        return h5py.File(path, "r", locking=False)


def written(path: Path, mode: str, user_block: int | None = None) -> h5py.File:
    """A file under a temporary name, without a lock: no other process opens it. user_block: bytes in front of it."""
    return h5py.File(path, mode, userblock_size=user_block, locking=False)
