"""Copies of clip stores on a machine's own disk: jobs of a cluster read a file over the network once for each node."""

import hashlib
import os
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.locks import locked
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.provenance.fingerprints import digest, file_digest

INPUTS = ("clips", "test")  # names of input files that are clip stores
PIECE = 2**24


def use_local_copies(inputs: Any, folder: str) -> None:
    """Replaces the clip stores among a job's input files by their copies in a folder of this machine's disk.

    inputs: Snakemake's. folder: with variables of the environment and `~`; nothing happens if it is empty.
    """
    for name in INPUTS if folder else ():
        paths = getattr(inputs, name, None)
        if isinstance(paths, str):
            setattr(inputs, name, str(local_copy(Path(paths), folder_of(folder))))
        elif paths:
            setattr(inputs, name, [str(local_copy(Path(path), folder_of(folder))) for path in paths])


def folder_of(written: str) -> Path:
    return Path(os.path.expandvars(written)).expanduser()


def local_copy(path: Path, folder: Path) -> Path:
    """The copy of a file, made and compared with it if it is the first one in this folder; the file itself where there
    is no room, or where the folder cannot be written.

    A file that was written again has another copy, and the former one is deleted.
    """
    name = digest(str(path.resolve()))
    state = path.stat()
    copy = folder / f"{name}-{digest(str(state.st_size), str(state.st_mtime_ns))}{path.suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{name}.lock"):
            if not copy.exists():
                for former in folder.glob(f"{name}-*"):
                    former.unlink()
                _copy(path, copy)
                LOGGER.info("copied %s to %s", path, copy)
    except (OSError, PipelineError) as error:
        LOGGER.warning("read from %s, not from a copy: %s", path, error)
        return path
    return copy


def _copy(path: Path, copy: Path) -> None:
    """Raises PipelineError if the copy has other content than what was read."""
    temporary, sha256 = copy.with_name(f"{copy.name}.part"), hashlib.sha256()
    try:
        with path.open("rb") as file, temporary.open("wb") as written:
            while piece := file.read(PIECE):
                sha256.update(piece)
                written.write(piece)
        if file_digest(temporary) != sha256.hexdigest():
            raise PipelineError(f"{temporary} is not what was written to it")
        temporary.replace(copy)
    finally:
        temporary.unlink(missing_ok=True)
