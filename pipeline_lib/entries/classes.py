"""Classes as Python resolves them, read from source texts: bases in other modules, re-exports, inherited members.

Each class that is read is represented by a stand-in, an empty class with the same bases, so that Python itself computes
the method resolution order.
"""

import builtins
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.module_files import absolute, file_of, source_file
from pipeline_lib.provenance.sources import read_source
from pipeline_lib.provenance.syntax import Annotated, ClassSource

# Installed packages whose sources are never read: their classes have no fields for entries.
UNREAD = ("torch", "torchvision", "numpy")


class Definition(NamedTuple):
    """A class and its module."""

    module: str
    name: str
    path: Path
    source: ClassSource


@cache
def class_of(target: str) -> type:
    """The stand-in for `module:Class`, wherever the class is defined.

    Raises:
        PipelineError: no such module or class, or a base that is not found.
    """
    module, _, name = target.partition(":")
    path = source_file(module)
    found = find(module, name)
    if found is None:
        raise PipelineError(f"{path} has no class {name!r} (named by method {target!r})")
    return found


def is_defined(module: str, name: str) -> bool:
    """Whether a module defines or imports a class whose source is read."""
    found = find(module, name)
    return found is not None and "definition" in vars(found)


@cache
def find(module: str, written: str) -> type | None:
    """The stand-in for a class by its name in a module; None if that name is not bound there."""
    path = source_file(module)
    source = read_source(path)
    head, _, rest = written.partition(".")
    if not rest and head in source.classes:
        return _stand_in(module, head)
    if head in source.aliases and source.aliases[head].partition(".")[0] != head:
        return find(module, f"{source.aliases[head]}.{rest}".strip("."))
    if head in source.bindings:
        return _imported(f"{absolute(source.bindings[head], module, path)}.{rest}".strip("."))
    if "." in written and _is_read(head):
        return _imported(written)
    if hasattr(builtins, written):
        return _foreign(f"builtins.{written}") if written != "object" else object
    return _starred(module, written)


def _starred(module: str, written: str) -> type | None:
    """A class imported by `from other import *`."""
    path = source_file(module)
    for other, names in read_source(path).imports:
        origin = absolute(other, module, path)
        if names == ["*"] and _is_read(origin) and (found := find(origin, written)) is not None:
            return found
    return None


def _imported(full: str) -> type | None:
    """The class of a dotted path: a name in its longest prefix that is a module."""
    parts = full.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        if _is_read(module):
            return find(module, ".".join(parts[end:]))
    return _foreign(full)


def _is_read(module: str) -> bool:
    top = module.partition(".")[0]
    return bool(top) and top not in (*sys.stdlib_module_names, *UNREAD) and file_of(module) is not None


@cache
def _foreign(full: str) -> type:
    """A class whose source is not read: of the standard library, of torch, or of a compiled package."""
    return type(full.rpartition(".")[2], (), {"foreign": full})


@cache
def _stand_in(module: str, name: str) -> type:
    path = source_file(module)
    definition = Definition(module, name, path, read_source(path).classes[name])
    bases = tuple(_base(definition, base) for base in definition.source.bases)
    try:
        return type(name, bases, {"definition": definition})
    except TypeError as error:
        raise PipelineError(f"{path}: class {name}: {error}") from None


def _base(definition: Definition, written: str) -> type:
    where = f"{definition.path}: class {definition.name} inherits from {written}"
    if written == definition.name:
        raise PipelineError(f"{where}, itself")
    found = find(definition.module, written)
    if found is None:
        raise PipelineError(f"{where}, which is neither defined nor imported in this file")
    return found


@cache
def definitions(cls: type) -> tuple[Definition, ...]:
    """A class and its bases whose sources are read, in method resolution order."""
    return tuple(vars(one)["definition"] for one in cls.__mro__ if "definition" in vars(one))


def foreign_bases(cls: type) -> list[str]:
    """The dotted names of the bases whose sources are not read."""
    return [vars(one)["foreign"] for one in cls.__mro__ if "foreign" in vars(one)]


def members(cls: type) -> set[str]:
    """The names that an object of the class has: methods, properties, constants, fields."""
    sources = [one.source for one in definitions(cls)]
    own = {name for source in sources for name in source.members}
    return own | {name for source in sources if source.is_dataclass for name in source.annotated}


def parameters(cls: type) -> dict[str, tuple[Annotated, str]]:
    """The constructor's parameters, in order, each with the module that its annotation is written in.

    As in dataclasses: fields of bases come first, a redeclared field keeps its position, a ClassVar is not a field.
    """
    for one in definitions(cls):
        if one.source.parameters is not None:
            return {name: (given, one.module) for name, given in one.source.parameters.items()}
        if one.source.is_dataclass:
            break
    merged: dict[str, tuple[Annotated, str]] = {}
    for one in reversed(definitions(cls)):
        if one.source.is_dataclass:
            merged |= {name: (given, one.module) for name, given in one.source.annotated.items()}
    return {name: given for name, given in merged.items() if given[0].kind == "field"}


@cache
def constant(cls: type, name: str) -> Any:
    """Plain data that the class, or one of its bases, assigns to a name; None if there is none."""
    found = (one.source.constants[name] for one in definitions(cls) if name in one.source.constants)
    return next(found, None)


def type_alias(module: str, name: str) -> tuple[str, str] | None:
    """The definition of a type alias (`Zeros = Literal["keep"]`), and the module that it is written in."""
    path = source_file(module)
    source = read_source(path)
    if source.aliases.get(name, name) != name:
        text = source.aliases[name]
        return (text, module) if "[" in text or "|" in text else type_alias(module, text)
    full = absolute(source.bindings.get(name, "builtins.none"), module, path)
    origin, _, other = full.rpartition(".")
    return type_alias(origin, other) if _is_read(origin) else None


def not_a_field(cls: type, key: str) -> str:
    """The end of a message about a key that a class without the decorator annotates; empty for any other key."""
    for one in definitions(cls):
        if key in one.source.annotated and not one.source.is_dataclass:
            return f"; class {one.name} of {one.path} has no @dataclass(frozen=True, kw_only=True), so it is no field"
    return ""
