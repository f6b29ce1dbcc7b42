"""Methods: what a configuration entry names, the fields it may give, and the object it stands for.

Fields are read from the class's source text, so that checking a configuration imports neither torch nor the class.
"""

import importlib
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.sources import Field, read_source


def build(entry: Any) -> Any:
    """The object that a resolved entry stands for; nested entries, lists and mappings are built first."""
    if isinstance(entry, list):
        return [build(item) for item in entry]
    if not isinstance(entry, dict):
        return entry
    fields = {key: build(value) for key, value in entry.items() if key != "method"}
    return _load(entry["method"])(**fields) if "method" in entry else fields


def _load(target: str) -> Any:
    name, _, attribute = target.partition(":")
    # A user's own file in the working folder: Python looks beside the script, which Snakemake keeps elsewhere.
    if source_file(name).is_relative_to(Path.cwd()) and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return getattr(importlib.import_module(name), attribute)


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
    return _file_below([Path.cwd(), Path(__file__).parents[1]], name)


def _file_below(folders: Iterable[Path], name: str) -> Path | None:
    relative = Path(*name.split("."))
    for folder in folders:
        for candidate in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@lru_cache
def fields(target: str) -> dict[str, Field]:
    """The dataclass fields of `module:Class`, in order.

    Raises:
        PipelineError: no such module or class.
    """
    name, _, attribute = target.partition(":")
    path = source_file(name)
    classes = read_source(path).classes
    if attribute not in classes:
        raise PipelineError(f"{path} has no class {attribute!r} (wanted by method {target!r})")
    return classes[attribute]
