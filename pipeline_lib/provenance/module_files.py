"""Finds the files of modules of the package and of the user without importing them."""

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pipeline_lib.errors import PipelineError


@cache
def source_file(name: str) -> Path:
    """The file of a module, without importing it: in the working folder, then below the folders of sys.path.

    Raises:
        PipelineError: no such file.
    """
    file = file_of(name)
    if file is None:
        relative = Path(*name.split("."))
        raise PipelineError(f"no file for the Python module {name!r}: expected {relative}.py beside the Snakefile")
    return file


def file_of(name: str) -> Path | None:
    """A module's file, if there is one: the user's, of the package, or installed."""
    return own_file(name) or _file_below(map(Path, sys.path), name)


@cache
def own_file(name: str) -> Path | None:
    """A module's file in the working folder or beside the Snakefile, where users' modules and the package are."""
    around, _, _ = name.rpartition(".")
    outer = own_file(around) if around else None
    if outer is not None and outer.name != "__init__.py":  # a module has no submodules
        return None
    return _file_below(_own_folders(name.partition(".")[0]), name)


@cache
def _own_folders(top: str) -> list[Path]:
    """Those of the working folder and the Snakefile's folder that contain a module or package of this name.

    It avoids further look-ups for most imported names: those of the standard library and of installed packages.
    """
    folders = dict.fromkeys([Path.cwd(), Path(__file__).parents[2]])
    return [folder for folder in folders if (folder / top).is_dir() or (folder / f"{top}.py").is_file()]


def absolute(path: str, module: str | None, file: Path) -> str:
    """The dotted path of an import as written in a module: `.core` in `mine.attack` is `mine.core`.

    file: the module's. Raises PipelineError for a relative import beyond the module's top-level package.
    """
    plain = path.lstrip(".")
    level = len(path) - len(plain)
    if level == 0:
        return path
    around = (module or "").split(".") if file.name == "__init__.py" else (module or "").split(".")[:-1]
    kept = around[: len(around) - level + 1]
    if len(around) < level or not kept:
        raise PipelineError(f"{file}: the relative import of {path!r} is beyond the top-level package of this module")
    return ".".join([*kept, plain]).rstrip(".")


def _file_below(folders: Iterable[Path], name: str) -> Path | None:
    relative = Path(*name.split("."))
    for folder in folders:
        for candidate in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
