"""Facts of a Python file read from its source text, without importing it: a digest of its code, imports, classes.

Parsing the whole package takes half a second, and every job starts Snakemake. So the result is cached in
`__pycache__`, beside Python's own compiled files, under the hash of the text.
"""

import ast
import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance import annotations, syntax
from pipeline_lib.provenance.caches import cache_file, write_cache
from pipeline_lib.provenance.syntax import Annotated, ClassSource, Signature


class Source(NamedTuple):
    """A file: the digest of its code without comments and docstrings, its imports, classes, and other names."""

    digest: str
    imports: list[tuple[str, list[str]]]  # a module, and the names imported from it
    classes: dict[str, ClassSource]
    bindings: dict[str, str]  # imported names, and their dotted paths
    aliases: dict[str, str]  # other names for classes and types


@cache
def read_source(path: Path) -> Source:
    """The facts of a file, cached for its present text.

    Raises:
        PipelineError: the file is not valid Python.
    """
    text = path.read_bytes()
    key = _VERSION.copy()
    key.update(text)
    return _cached(path, key.hexdigest()) or _parsed(path, key.hexdigest(), text)


# The cached result depends on this code, and on the version of Python, which determines the syntax tree.
_VERSION = hashlib.sha256(
    sys.version.encode()
    + Path(__file__).read_bytes()
    + b"".join(Path(str(part.__file__)).read_bytes() for part in (annotations, syntax))
)


def _store(path: Path) -> Path:
    return cache_file(path, ".source.json")


def _cached(path: Path, key: str) -> Source | None:
    try:
        found = json.loads(_store(path).read_text())
        return _source(found) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):  # no cached result, or a foreign file
        return None


def _source(plain: dict[str, Any]) -> Source:
    return Source(
        plain["digest"],
        [(module, names) for module, names in plain["imports"]],
        {name: _class(*given) for name, given in plain["classes"].items()},
        plain["bindings"],
        plain["aliases"],
    )


def _class(*plain: Any) -> ClassSource:
    found = ClassSource(*plain)
    signatures = {name: Signature(*one) for name, one in found.signatures.items()}
    own = None if found.parameters is None else _annotated(found.parameters)
    return found._replace(annotated=_annotated(found.annotated), parameters=own, signatures=signatures)


def _annotated(plain: dict[str, Any]) -> dict[str, Annotated]:
    return {name: Annotated(*one) for name, one in plain.items()}


def _parsed(path: Path, key: str, text: bytes) -> Source:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: not valid Python: {error}") from None
    found = {
        "imports": list(syntax.imports(tree)),
        "classes": syntax.classes(tree),
        "bindings": syntax.bindings(tree),
        "aliases": syntax.aliases(tree),
    }
    found["digest"] = hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()[:16]
    written = json.dumps({"key": key} | found, default=str)
    write_cache(_store(path), written)
    return _source(json.loads(written))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in [tree, *syntax.statements(tree)]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _documented(node):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
