"""Paths of files below a folder, as lists have them: relative to it with `/`, and without junk."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.clips.folders import is_junk
from pipeline_lib.errors import PipelineError


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """The files and folders directly in a folder, sorted by name; junk is left out. PipelineError if it is missing."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not is_junk(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise PipelineError(
            f"{folder} cannot be read: {error.strerror}. Correct `root`, or the names below it."
        ) from None


def paths_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """The paths of all files below a folder, relative to it with `/`, in the order of their names; junk is left out."""
    for entry in entries(folder):
        if entry.is_dir():
            yield from paths_below(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


def junk_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """The paths of the junk below a folder, relative to it, in order; not those in a junk folder."""
    with os.scandir(folder) as found:
        listed = sorted(found, key=lambda entry: entry.name)
    for entry in listed:
        if is_junk(entry.name):
            yield prefix + entry.name
        elif entry.is_dir():
            yield from junk_below(Path(entry.path), f"{prefix}{entry.name}/")


def below(folder: Path, written: str, where: str) -> str:
    """A listed path as relative to a folder, with `/`: without `./`, and without the folder if it is absolute.

    PipelineError for a path that is not below the folder; `where` names the list and its line.
    """
    path = os.path.normpath(written if "/" in written else written.replace("\\", "/"))
    if path.startswith("/"):
        path = os.path.relpath(path, folder.absolute())
    if path.split("/", 1)[0] == "..":
        raise PipelineError(f"{where}: {written} is not below {folder}. Correct the path, or the data set's folders.")
    return path
