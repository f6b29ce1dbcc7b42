"""What the source text of a Python file says, without importing it: a digest of its code, its imports, its fields.

Parsing the whole package takes half a second, and every job is a start of Snakemake. What was read is therefore kept
beside Python's own compiled files, in `__pycache__`, under the hash of the text.
"""

import ast
import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Field(NamedTuple):
    """A dataclass field: its annotation as written, whether an entry must give it, and its default as written."""

    annotation: str
    required: bool
    default: str | None


class Source(NamedTuple):
    """A file: the digest of its code without comments and docstrings, what it imports, its classes' fields."""

    digest: str
    imports: list[tuple[str, list[str]]]  # a module, and what is taken from it
    classes: dict[str, dict[str, Field]]


@lru_cache
def read_source(path: Path) -> Source:
    """What a file says; parsed once for every text that it has had last."""
    text = path.read_bytes()
    key = hashlib.sha256(_VERSION + text).hexdigest()
    return _remembered(path, key) or _parsed(path, key, text)


# What is remembered was found by this file, and a syntax tree is written differently by every version of Python.
_VERSION = sys.version.encode() + Path(__file__).read_bytes()


def _store(path: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(path))).with_suffix(".source.json")


def _remembered(path: Path, key: str) -> Source | None:
    try:
        found = json.loads(_store(path).read_text())
        if found["key"] != key:
            return None
        classes = {name: {key: Field(*field) for key, field in own.items()} for name, own in found["classes"].items()}
        return Source(found["digest"], [(module, names) for module, names in found["imports"]], classes)
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not ours
        return None


def _parsed(path: Path, key: str, text: bytes) -> Source:
    tree = ast.parse(text)
    imports, classes = list(_imports(tree)), dict(_classes(tree))
    code = ast.dump(_without_docstrings(tree))
    source = Source(hashlib.sha256(code.encode()).hexdigest()[:16], imports, classes)
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError):  # a package that is installed read-only
            _remember(_store(path), json.dumps({"key": key} | source._asdict()))
    return source


def _remember(store: Path, text: str) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)  # PYTHONPYCACHEPREFIX names a tree of its own
    temporary = store.with_name(f"{store.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(store)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node. `ast.walk` would visit every expression too: twenty times as many nodes."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, block, ()):
            yield child
            yield from _statements(child)


def _imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """The absolute imports of a file, wherever in the file."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, [alias.name for alias in node.names]


def _classes(tree: ast.Module) -> Iterator[tuple[str, dict[str, Field]]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, dict(_fields(node))


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, Field]]:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation = ast.unparse(item.annotation)
            if not annotation.startswith("ClassVar"):
                yield (
                    item.target.id,
                    Field(annotation, item.value is None, ast.unparse(item.value) if item.value else None),
                )


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in [tree, *_statements(tree)]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _documented(node):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
