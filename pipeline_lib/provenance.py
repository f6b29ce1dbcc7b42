"""Fingerprints: what a result depends on, as short hashes that Snakemake can compare.

Snakemake does not see the library behind a rule's script. The fingerprint of a job covers the parsed source of its
adapter, of every `pipeline_lib` module that the adapter imports, and of the methods that its entries name. Comments,
docstrings and formatting do not count.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline_lib.registry import source_file
from pipeline_lib.sources import PACKAGE, read_source

# Modules that carry a job along and never touch a result: changing a log line must not retrain a model.
NEUTRAL = (f"{PACKAGE}.errors", f"{PACKAGE}.provenance", f"{PACKAGE}.registry", f"{PACKAGE}.sources", f"{PACKAGE}.jobs")


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
    files = {adapter}
    for name in (*_imports(adapter), *_modules(entries)):
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


@lru_cache
def _closure(name: str) -> frozenset[Path]:
    found: dict[str, Path] = {}
    todo = [name]
    while todo:
        current = todo.pop()
        if current not in found and not _is_neutral(current):
            found[current] = source_file(current)
            todo.extend(_imports(found[current]))
    return frozenset(found.values())


def _is_neutral(name: str) -> bool:
    return any(name == neutral or name.startswith(f"{neutral}.") for neutral in NEUTRAL)


@lru_cache
def _imports(path: Path) -> tuple[str, ...]:
    """The package's own modules that a file imports."""
    return tuple(sorted(set(_imported(read_source(path).imports))))


def _imported(imports: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    for module, names in imports:
        yield from (_module_or_parent(module, name) for name in names) if names else [module]


def _module_or_parent(parent: str, name: str) -> str:
    """`from pipeline_lib.clips import store` names a module, `from pipeline_lib.clips.store import Clips` does not."""
    folder = source_file(parent).parent
    is_package = source_file(parent).name == "__init__.py"
    return f"{parent}.{name}" if is_package and (folder / f"{name}.py").is_file() else parent
