"""Checking and resolving one configuration entry against the class that it names.

A resolved entry is plain data: methods as `module:Class`, numbers in the type that the class declares, names of
attacks and networks replaced by their own entries. It is exactly what a job depends on.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.entries.ranges import RANGES
from pipeline_lib.entries.storages import LATTICE, STORAGES, storage_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.precision import check_precision

# What a field may name instead of giving the entry itself: by the field's annotation, e.g. "Attack", the entries of
# that section of the configuration as written.
Sections = Mapping[str, Mapping[str, Any]]

CLEAN = "clean"  # in the place of an attack: its absence


def fail(where: str, message: str) -> PipelineError:
    """The error for a config key; `where` is its dotted path."""
    return PipelineError(f"config: {where}: {message}")


def known(names: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    return f"known: {', '.join(sorted(names))}"


def lookup(where: str, name: Any, section: Mapping[str, Any], kind: str) -> Any:
    """The entry called `name` in a section; an error that lists the known names otherwise."""
    if name not in section:
        raise fail(where, f"unknown {kind} {name!r}; {known(section)}")
    return section[name]


def resolve(where: str, entry: Any, sections: Sections) -> dict:
    """An entry with `method`, checked and resolved.

    Raises:
        PipelineError: unknown method, unknown or missing field, or a value of another type.
    """
    if not isinstance(entry, dict) or "method" not in entry:
        raise fail(where, f"expected an entry with 'method', got {entry!r}")
    target = METHODS.get(str(entry["method"]), str(entry["method"]))
    if ":" not in target:
        raise fail(f"{where}.method", f"unknown method {target!r}; {known(METHODS)}, or 'module:Class' of your own")
    given = {key: value for key, value in entry.items() if key != "method"}
    return {"method": target} | resolve_fields(where, given, target, sections)


def resolve_fields(where: str, given: dict, target: str, sections: Sections) -> dict:
    """The values of an entry, checked against the fields of `module:Class`."""
    declared = fields(target)
    for key in given:
        if key not in declared:
            raise fail(f"{where}.{key}", f"unknown key; {known(declared)}")
    for key, field in declared.items():
        if field.required and key not in given:
            raise fail(f"{where}.{key}", f"missing ({field.annotation})")
    return {key: _value(f"{where}.{key}", given[key], declared[key].annotation, sections) for key in sorted(given)}


def _value(where: str, value: Any, annotation: str, sections: Sections) -> Any:
    return _typed(where, value, _kind(annotation), sections)


@lru_cache
def _kind(annotation: str) -> ast.expr:
    return ast.parse(annotation, mode="eval").body


def _ranged(where: str, value: Any, name: str) -> Any:
    """A number of an annotation of `entries/ranges.py`, in its range."""
    plain, wanted = RANGES[name]
    number = _SCALARS[plain](where, value)
    if not wanted.holds(number):
        raise fail(where, f"{number} must be {wanted.words}")
    return number


def _typed(where: str, value: Any, kind: ast.expr, sections: Sections) -> Any:
    """A value converted to the annotated type: scalars, unions, lists and mappings of them, or nested entries."""
    if isinstance(kind, ast.BinOp):
        return _union(where, value, kind, sections)
    if isinstance(kind, ast.Subscript):
        return _container(where, value, kind, sections)
    name = "None" if isinstance(kind, ast.Constant) else ast.unparse(kind)
    if name in _SCALARS:
        return _SCALARS[name](where, value)
    if name in RANGES:
        return _ranged(where, value, name)
    if name in sections and isinstance(value, str):
        return named(where, value, name, sections)
    return resolve(where, value, sections)


def resolve_attack(where: str, entry: Any, sections: Sections) -> dict:
    """An attack's entry. Its `loss` and `storage` are no fields of its class: an attack is given what it climbs, and
    its clips are kept by others. The storage is left out where it is the usual one."""
    if not isinstance(entry, dict):
        return resolve(where, entry, sections)
    own = {key: value for key, value in entry.items() if key not in ("loss", "storage")}
    beside = {"loss": resolve(f"{where}.loss", entry["loss"], {})} if "loss" in entry else {}
    storage = _choice(f"{where}.storage", storage_of(entry), list(STORAGES))
    return resolve(where, own, sections) | beside | ({"storage": storage} if storage != LATTICE else {})


def named(where: str, name: str, kind: str, sections: Sections) -> dict:
    """The resolved entry of another section that a field names; below it the same name is unknown: no circles."""
    word = kind.lower()
    entry = lookup(where, name, sections[kind], word)
    if kind == "Attack" and "loss" in entry:
        raise fail(where, f"attack {name!r} has a loss of its own, and here another one is climbed: name one without")
    if kind == "Attack" and "learning" in entry:
        raise fail(where, f"attack {name!r} has to be learned on a trained model first: name one that has not")
    others = {other: value for other, value in sections[kind].items() if other != name}
    # Only a set of the attack itself is stored: not what a model is trained on, or another attack tries.
    own = {key: value for key, value in entry.items() if key != "storage" or kind != "Attack"}
    return resolve(f"{word}s.{name}", own, {**sections, kind: others})


def _union(where: str, value: Any, kind: ast.BinOp, sections: Sections) -> Any:
    absent = value is None or (value == CLEAN and ast.unparse(kind.left) == "Attack")
    if absent and ast.unparse(kind.right) == "None":
        return None
    return _typed(where, value, kind.left, sections)


def _container(where: str, value: Any, kind: ast.Subscript, sections: Sections) -> Any:
    name = ast.unparse(kind.value)
    inner = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
    if name == "Literal":
        return _choice(where, value, [ast.literal_eval(item) for item in inner])
    if name == "dict":
        _expect(where, value, dict, "a mapping")
        return {str(k): _typed(f"{where}.{k}", v, inner[1], sections) for k, v in value.items()}
    _expect(where, value, list, "a list")
    return [_typed(f"{where}[{i}]", item, inner[0], sections) for i, item in enumerate(value)]


def _choice(where: str, value: Any, choices: list) -> Any:
    if value not in choices:
        raise fail(where, f"expected one of {choices}, got {value!r}")
    return value


def _expect(where: str, value: Any, kind: type, words: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise fail(where, f"expected {words}, got {value!r}")


def _integer(where: str, value: Any) -> int:
    """An integer, also as text: Snakemake's `--config` reads everything inside a mapping as text."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    _expect(where, value, int, "an integer")
    return value


def _number(where: str, value: Any) -> float:
    """A number, or a fraction of two numbers as text (`4/255`)."""
    numerator, slash, denominator = value.partition("/") if isinstance(value, str) else (value, "", "1")
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(numerator) / float(denominator if slash else 1)
    except (TypeError, ValueError, ZeroDivisionError):
        raise fail(where, f"expected a number or a fraction such as 4/255, got {value!r}") from None


def _boolean(where: str, value: Any) -> bool:
    value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    _expect(where, value, bool, "true or false")
    return value


def _text(where: str, value: Any) -> str:
    _expect(where, value, str, "a text")
    return value


def _any(where: str, value: Any) -> Any:
    """A value that the class checks itself."""
    return value


_SCALARS = {"int": _integer, "float": _number, "bool": _boolean, "str": _text, "Any": _any}
_SCALARS["Precision"] = check_precision
