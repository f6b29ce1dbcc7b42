"""Checks and resolves one configuration entry against the class that it names.

A resolved entry is plain data: methods as `module:Class`, numbers in the type that the class declares, names of
attacks and networks replaced by their own entries. It is exactly what a job depends on.
"""

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pipeline_lib.configuration.messages import fail, lookup
from pipeline_lib.configuration.values import SCALARS, choice, expect, ranged
from pipeline_lib.entries.classes import class_of, definitions, not_a_field
from pipeline_lib.entries.facts import RESERVED, learning_of, loss_of_entry, target_of
from pipeline_lib.entries.fields import Field, fields
from pipeline_lib.entries.interfaces import interface_of, require
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.entries.ranges import RANGES
from pipeline_lib.entries.storages import LATTICE, STORAGES, storage_of
from pipeline_lib.errors import PipelineError, known

# A field annotated with one of these interfaces, e.g. "Attack", may hold the name of an entry of that section of the
# configuration instead of the entry itself.
Sections = Mapping[str, Mapping[str, Any]]

CLEAN = "clean"  # in place of an attack's name: no attack
# Annotations that do not restrict a value.
_ANYTHING = ("Any", "object", "list", "tuple", "dict")


class Scope(NamedTuple):
    """Where names in an annotation are looked up: entries of the configuration, and classes of a module."""

    sections: Sections
    module: str


def resolve(where: str, entry: Any, sections: Sections) -> dict:
    """An entry with `method`, checked and resolved.

    Raises:
        PipelineError: unknown method, unknown or missing field, or a value of another type.
    """
    if not isinstance(entry, dict) or "method" not in entry:
        raise fail(where, f"expected an entry with 'method', got {entry!r}")
    target = METHODS.get(str(entry["method"]), str(entry["method"]))
    if ":" not in target:
        unknown = f"unknown method {target!r}, and no 'module:Class' of your own"
        raise fail(f"{where}.method", f"{unknown}; {known(METHODS, target)}")
    given = {key: value for key, value in entry.items() if key != "method"}
    return {"method": target} | resolve_fields(where, given, target, sections)


def resolve_fields(where: str, given: dict, target: str, sections: Sections) -> dict:
    """The values of an entry, checked against the fields of `module:Class`."""
    declared = fields(target)
    for key in given:
        if key not in declared:
            raise fail(f"{where}.{key}", f"unknown key{not_a_field(class_of(target), key)}; {known(declared, key)}")
    for key, field in declared.items():
        if field.required and key not in given:
            raise fail(f"{where}.{key}", f"missing ({field.annotation})")
    return {key: _value(f"{where}.{key}", given[key], declared[key], sections) for key in sorted(given)}


def _value(where: str, value: Any, field: Field, sections: Sections) -> Any:
    return _typed(where, value, _kind(field.annotation), Scope(sections, field.module))


@lru_cache
def _kind(annotation: str) -> ast.expr:
    return ast.parse(annotation, mode="eval").body


def _typed(where: str, value: Any, kind: ast.expr, scope: Scope) -> Any:
    """A value converted to the annotated type: scalars, unions, lists and mappings of them, or nested entries."""
    if isinstance(kind, ast.BinOp):
        return _union(where, value, _alternatives(kind), scope)
    if isinstance(kind, ast.Subscript):
        return _container(where, value, kind, scope)
    name = ast.unparse(kind)
    if name in SCALARS:
        return SCALARS[name](where, value)
    if name in RANGES:
        return ranged(where, value, name)
    if name in _ANYTHING:
        return _untyped(where, value, name, scope)
    return _entry(where, value, name, scope)


def _entry(where: str, value: Any, name: str, scope: Scope) -> dict:
    """A nested entry, or a named one of the configuration; its class is checked against the annotated interface."""
    section = name.rpartition(".")[2]
    if section in scope.sections and isinstance(value, str):
        resolved = named(where, value, section, scope.sections)
    else:
        resolved = resolve(where, value, scope.sections)
    require(where, resolved["method"], interface_of(scope.module, name))
    return resolved


def _untyped(where: str, value: Any, name: str, scope: Scope) -> Any:
    """A value of a field without a type: an entry is resolved, anything else is unchanged."""
    if name in ("list", "tuple", "dict"):
        expect(where, value, dict if name == "dict" else list, "a mapping" if name == "dict" else "a list")
    return resolve(where, value, scope.sections) if isinstance(value, dict) and "method" in value else value


def resolve_attack(where: str, entry: Any, sections: Sections) -> dict:
    """An attack's resolved entry. `loss` and `storage` are not fields of its class: the workflow passes the objective
    to the attack and stores its clips. The default storage is left out."""
    if not isinstance(entry, dict) or ":" not in target_of(entry):
        return resolve(where, entry, sections)  # raises the error
    _check_reserved(where, entry)
    own = {key: value for key, value in entry.items() if key != "storage"}
    loss = loss_of_entry(entry)
    if loss is not None:
        del own["loss"]
    beside = {} if loss is None else {"loss": resolve(f"{where}.loss", loss, {})}
    storage = choice(f"{where}.storage", storage_of(entry), list(STORAGES))
    return resolve(where, own, sections) | beside | ({"storage": storage} if storage != LATTICE else {})


def _check_reserved(where: str, entry: Mapping[str, Any]) -> None:
    """Raises PipelineError for a class with a field of a reserved name, whose value it would never receive."""
    target = target_of(entry)
    taken = sorted({*RESERVED} & fields(target).keys())
    if taken:
        own = definitions(class_of(target))[0]
        raise fail(where, f"{own.path}: class {own.name} has a field {taken[0]!r}; {', '.join(RESERVED)} are reserved")


def named(where: str, name: str, kind: str, sections: Sections) -> dict:
    """The resolved entry of another section that a field names, or that the entry of this name names in its turn.

    Inside it, the same name is unknown: no cycles.
    """
    word = kind.lower()
    entry = lookup(where, name, sections[kind], word)
    if kind == "Attack" and not isinstance(entry, str):
        entry = _trained_on(where, name, entry)
    others = {**sections, kind: {other: value for other, value in sections[kind].items() if other != name}}
    if isinstance(entry, str):
        return named(f"{word}s.{name}", entry, kind, others)
    return resolve(f"{word}s.{name}", dict(entry), others)


def _trained_on(where: str, name: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An attack's entry where another entry names it. Its storage is left out: it applies to the attack's own set."""
    if ":" not in target_of(entry):
        return entry
    _check_reserved(where, entry)
    if loss_of_entry(entry) is not None:
        raise fail(where, f"attack {name!r} has a loss of its own, and here another one is maximized: name one without")
    if learning_of(entry) is not None:
        raise fail(where, f"attack {name!r} has to be learned on a trained model first: name one that does not")
    return {key: value for key, value in entry.items() if key != "storage"}


def _alternatives(kind: ast.expr) -> list[ast.expr]:
    return [*_alternatives(kind.left), *_alternatives(kind.right)] if isinstance(kind, ast.BinOp) else [kind]


def _union(where: str, value: Any, kinds: list[ast.expr], scope: Scope) -> Any:
    """A value of the first type that accepts it. Of several errors, the one about an entry is raised."""
    names = [ast.unparse(kind) for kind in kinds]
    clean = value == CLEAN and any(name.rpartition(".")[2] == "Attack" for name in names)
    if "None" in names and (value is None or clean):
        return None
    errors = []
    for kind, name in zip(kinds, names, strict=True):
        if name != "None":
            try:
                return _typed(where, value, kind, scope)
            except PipelineError as error:
                errors.append(error)
    if len(errors) == 1 or isinstance(value, Mapping):
        raise errors[0]
    raise fail(where, f"expected {' or '.join(names)}, got {value!r}")


def _container(where: str, value: Any, kind: ast.Subscript, scope: Scope) -> Any:
    name = ast.unparse(kind.value)
    inner = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
    if name == "Literal":
        return choice(where, value, [ast.literal_eval(item) for item in inner])
    if name == "dict":
        expect(where, value, dict, "a mapping")
        return {str(k): _typed(f"{where}.{k}", v, inner[1], scope) for k, v in value.items()}
    if name not in ("list", "tuple"):
        return _entry(where, value, name, scope)
    expect(where, value, list, "a list")
    if name == "list" or ast.unparse(inner[-1]) == "...":
        inner = [inner[0]] * len(value)
    if len(inner) != len(value):
        raise fail(where, f"expected a list of {len(inner)}, got {value!r}")
    return [_typed(f"{where}[{i}]", item, one, scope) for i, (item, one) in enumerate(zip(value, inner, strict=True))]
