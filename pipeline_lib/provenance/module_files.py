"""The files that modules of the package and of the user lie in, found without importing them."""

import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from pipeline_lib.errors import PipelineError


@lru_cache
def source_file(name: str) -> Path:
    """The file of a module, without importing it: below any folder of sys.path, the working folder first.

    Raises:
        PipelineError: no such file.
    """
    file = own_file(name) or _file_below(map(Path, sys.path), name)
    if file is None:
        relative = Path(*name.split("."))
        raise PipelineError(f"no file for the Python module {name!r}: expected {relative}.py beside the Snakefile")
    return file


@lru_cache
def own_file(name: str) -> Path | None:
    """A module's file in the working folder or beside the Snakefile: where users keep theirs, and the package lies."""
    return _file_below([Path.cwd(), Path(__file__).parents[2]], name)


def _file_below(folders: Iterable[Path], name: str) -> Path | None:
    relative = Path(*name.split("."))
    for folder in folders:
        for candidate in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
