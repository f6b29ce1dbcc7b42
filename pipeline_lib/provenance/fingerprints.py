"""Fingerprints: what a result depends on, as short hashes that Snakemake can compare.

Snakemake does not see the library behind a rule's script. The fingerprint of a job covers the parsed source of its
adapter, of the methods that its entries name, and of every module that these import, of `pipeline_lib` and of the
user. Comments, docstrings and formatting do not count.
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

# Modules that carry a job along and never touch a result: changing a log line must not retrain a model.
# Of the entries not `ranges`: a check that fails decides what a job does.
ENTRIES = ("building", "classes", "facts", "fields", "interfaces", "methods")
NEUTRAL = tuple(
    f"{PACKAGE}.{name}"
    # What the configuration resolves is in a job's parameters.
    for name in ("errors", "provenance", "configuration", "jobs", *(f"entries.{part}" for part in ENTRIES))
)


def canonical(data: Any) -> str:
    """Plain data as JSON text that does not depend on the order of keys."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


def digest(*parts: str) -> str:
    """Sixteen hexadecimal digits for the given texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(adapter: Path, *entries: Any) -> str:
    """A hash of the code that a job runs: the adapter's import closure and that of each method its entries name."""
    return _digest_of_code(adapter, frozenset(_modules(entries)))


@cache
def _digest_of_code(adapter: Path, modules: frozenset[str]) -> str:
    files = {adapter}
    for name in (*_imports(adapter, None), *modules):
        files |= _closure(name)
    return digest(*sorted(read_source(file).digest for file in files))


def _modules(entry: Any) -> Iterator[str]:
    """The modules of all methods in a resolved entry, nested ones included."""
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
    """The packages around a user's module, whose code runs first. Those of the pipeline have none."""
    parts = name.split(".")
    around = [".".join(parts[:end]) for end in range(1, len(parts))]
    return [] if parts[0] == PACKAGE else [package for package in around if _is_ours(package)]


def _is_neutral(name: str) -> bool:
    return any(name == neutral or name.startswith(f"{neutral}.") for neutral in NEUTRAL)


@cache
def _imports(path: Path, module: str | None) -> tuple[str, ...]:
    """The modules of the package and of the user that a file imports; `module` is its own name, None for a script."""
    return tuple(sorted({name for name in _imported(path, module) if _is_ours(name)}))


def _imported(path: Path, module: str | None) -> Iterator[str]:
    """`from pipeline_lib.clips import store` names a module, `from pipeline_lib.clips.store import Clips` does not."""
    for written, names in read_source(path).imports:
        origin = absolute(written, module, path)
        if not names:
            yield origin
        for name in names:
            yield from _modules_of_name(origin, name)


def _modules_of_name(module: str, name: str) -> Iterator[str]:
    """What `from module import name` loads: a module of that name, or the module, and where it takes the name from."""
    if _is_ours(f"{module}.{name}"):
        yield f"{module}.{name}"
        return
    yield module
    if _is_ours(module):
        path = source_file(module)
        origin = read_source(path).bindings.get(name, "")
        if origin.startswith("."):  # loaded when it is used: no import statement names it
            yield absolute(origin, module, path).rpartition(".")[0]


def _is_ours(name: str) -> bool:
    """Whether a module's code belongs to the job's: the standard library's and what is installed do not."""
    file, top = own_file(name), name.partition(".")[0]
    if file is None or top == PACKAGE:
        return file is not None
    return top not in sys.stdlib_module_names and "site-packages" not in file.parts
