"""Fingerprints: short hashes of the code that a result depends on, which Snakemake compares.

Snakemake does not track the modules that a rule's script imports. The fingerprint of a job covers the parsed source of
its adapter, of the methods that its entries name, and of every module of `pipeline_lib` and of the user that these
import. Comments, docstrings and formatting are ignored.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pipeline_lib.provenance.module_files import absolute, own_file, source_file
from pipeline_lib.provenance.sources import read_source

PACKAGE = "pipeline_lib"

# Modules that run jobs but do not affect results: changing a log line must not retrain a model.
# `entries/ranges.py` is not among them: a failed check changes what a job does.
ENTRIES = ("building", "classes", "facts", "fields", "interfaces", "methods")
NEUTRAL = tuple(
    f"{PACKAGE}.{name}"
    # Their results are in a job's parameters.
    for name in ("errors", "provenance", "configuration", "jobs", *(f"entries.{part}" for part in ENTRIES))
)
# Modules of these that the jobs of tables and figures call with their parameters.
CALLED_BY_JOBS = tuple(f"{PACKAGE}.configuration.{name}" for name in ("claim_cells", "layout_keys"))


def canonical(data: Any) -> str:
    """Plain data as JSON text that does not depend on the order of keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


def digest(*parts: str) -> str:
    """A hash of the given texts, 16 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(adapter: Path, *entries: Any) -> str:
    """A hash of a job's code: the import closures of its adapter and of each method that its entries name."""
    return _digest_of_code(adapter, frozenset(_modules(entries)))


@cache
def _digest_of_code(adapter: Path, modules: frozenset[str]) -> str:
    files = {adapter}
    for name in (*_imports(adapter, None), *modules):
        files |= _closure(name)
    return digest(*sorted(read_source(file).digest for file in files))


def _modules(entry: Any) -> Iterator[str]:
    """The modules of all methods in a resolved entry, including nested ones."""
    if isinstance(entry, dict):
        if "method" in entry:
            yield entry["method"].partition(":")[0]
        for value in entry.values():
            yield from _modules(value)
    elif isinstance(entry, list | tuple):
        for value in entry:
            yield from _modules(value)


@cache
def _closure(name: str) -> frozenset[Path]:
    found: dict[str, Path] = {}
    todo = [name]
    while todo:
        current = todo.pop()
        if current not in found and not _is_neutral(current):
            found[current] = source_file(current)
            todo.extend((*_imports(found[current], current), *_packages_of(current)))
    return frozenset(found.values())


def _packages_of(name: str) -> list[str]:
    """The packages that contain a user's module, whose `__init__.py` runs first. Those of the pipeline have no code."""
    parts = name.split(".")
    around = [".".join(parts[:end]) for end in range(1, len(parts))]
    return [] if parts[0] == PACKAGE else [package for package in around if _is_ours(package)]


def _is_neutral(name: str) -> bool:
    return name not in CALLED_BY_JOBS and any(name == neutral or name.startswith(f"{neutral}.") for neutral in NEUTRAL)


@cache
def _imports(path: Path, module: str | None) -> tuple[str, ...]:
    """The modules of the package and of the user that a file imports; `module` is its own name, None for a script."""
    return tuple(sorted({name for name in _imported(path, module) if _is_ours(name)}))


def _imported(path: Path, module: str | None) -> Iterator[str]:
    """All imported modules: `from pipeline_lib.clips import store` imports two, `from a.b import Class` only `a.b`."""
    for written, names in read_source(path).imports:
        origin = absolute(written, module, path)
        if not names:
            yield origin
        for name in names:
            yield from _modules_of_name(origin, name)


def _modules_of_name(module: str, name: str) -> Iterator[str]:
    """Modules that `from module import name` loads: one of that name, or `module` and the origin of the name."""
    if _is_ours(f"{module}.{name}"):
        yield f"{module}.{name}"
        return
    yield module
    if _is_ours(module):
        path = source_file(module)
        origin = read_source(path).bindings.get(name, "")
        if origin.startswith("."):  # loaded on first use, without an import statement
            yield absolute(origin, module, path).rpartition(".")[0]


def _is_ours(name: str) -> bool:
    """Whether a module is part of the fingerprint: the standard library and installed packages are not."""
    file, top = own_file(name), name.partition(".")[0]
    if file is None or top == PACKAGE:
        return file is not None
    return top not in sys.stdlib_module_names and "site-packages" not in file.parts
