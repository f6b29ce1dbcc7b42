"""Facts that a class declares about itself, so that nothing is guessed from the names of its fields.

A fact is a constant of the class, e.g. `passes: ClassVar[str] = "iterations"`. It is read without importing the class.
Entries are resolved, or as written with the short name of a method.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipeline_lib.entries.classes import class_of, constant
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError

Entry = Mapping[str, Any]

NO_STAGES = "this network has no stages layer1, layer2, ... to compare features after"

# Keys of an attack's entry that the workflow reads: no attack may have a field of such a name.
RESERVED = ("base", "method", "storage", "sweep")


def target_of(entry: Entry) -> str:
    """The `module:Class` of an entry."""
    return METHODS.get(str(entry.get("method")), str(entry.get("method")))


def declared(entry: Entry, fact: str) -> Any:
    """The value of a fact that the class of an entry, or one of its bases, declares; None without one."""
    return constant(class_of(target_of(entry)), fact) if "method" in entry else None


def known_value(entry: Entry, key: str) -> Any:
    """A field's value: as given, or the default of the class if that is plain data; else None."""
    field = fields(target_of(entry)).get(key)
    return entry.get(key, field.default if field else None)


def value_of(entry: Entry, key: str) -> Any:
    """`known_value`. Raises PipelineError if there is none."""
    value = known_value(entry, key)
    if value is None:
        raise PipelineError(f"{target_of(entry)} has no default for {key!r}")
    return value


def field_named_by(entry: Entry, fact: str) -> Any:
    """The value of the field that the class names in `fact`; None without the fact or the value."""
    name = declared(entry, fact)
    return None if name is None else known_value(entry, name)


def layers(outer: Any) -> Iterator[Any]:
    """An attack, defense or network, and those that it wraps, outermost first: entries, or objects built from them.

    A class names the field of the wrapped one in `wraps: ClassVar[str]`.
    """
    while outer is not None:
        yield outer
        outer = wrapped(outer)


def wrapped(outer: Any) -> Any:
    """The attack, defense or network wrapped by another; None if there is none."""
    if isinstance(outer, Mapping):
        return field_named_by(outer, "wraps")
    name = getattr(type(outer), "wraps", None)
    return getattr(outer, name) if isinstance(name, str) else None


def innermost(outer: Any) -> Any:
    """The innermost attack, defense or network: an entry or an object, as `outer` is."""
    return list(layers(outer))[-1]


def loss_of_entry(entry: Entry) -> Entry | None:
    """The loss that an attack's entry maximizes, if given. A class with its own field `loss` keeps that key."""
    return None if "loss" in fields(target_of(entry)) else entry.get("loss")


def learning_of(entry: Entry) -> Entry | None:
    """How an attack is learned on a trained model, in the field that its class names in `learned_by`; else None."""
    return field_named_by(entry, "learned_by")


def own_entry(entry: Entry) -> dict[str, Any]:
    """An attack's entry without the keys that are not fields of its class."""
    own = fields(target_of(entry))
    return {key: value for key, value in entry.items() if key == "method" or key in own}


def margin_of(attack: Any) -> int:
    """Pixels that an attack adds on each side of the picture: the member that its class names in `adds_margin`."""
    names = ((layer, getattr(type(layer), "adds_margin", None)) for layer in layers(attack))
    return next((getattr(layer, name) for layer, name in names if isinstance(name, str)), 0)


def offers_clean(attack: Any) -> bool:
    """Whether an attack, or one that it wraps, declares that the clean clip is one of its candidates."""
    return any(getattr(type(layer), "offers_clean", False) for layer in layers(attack))


def entries_in(value: Any) -> Iterator[Entry]:
    """All entries with a method in an entry, itself included."""
    return (entry for _, entry in located_entries("", value))


def located_entries(where: str, value: Any) -> Iterator[tuple[str, Entry]]:
    """`entries_in`, each with its path below `where`."""
    if isinstance(value, Mapping):
        if "method" in value:
            yield where, value
        for key, inner in value.items():
            yield from located_entries(f"{where}.{key}", inner)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from located_entries(f"{where}[{i}]", inner)


def files_of(entry: Any) -> list[str]:
    """The files that the methods in an entry read: the values of the fields that their classes name in `reads_file`."""
    found = (field_named_by(part, "reads_file") for part in entries_in(entry))
    return sorted({path for path in found if path is not None})


def stages_of_entry(entry: Entry) -> list[str] | None:
    """The stages of a network, by `stage_count` of its class (a number or the name of a field); None if undeclared."""
    network = innermost(entry)
    count = declared(network, "stage_count")
    count = known_value(network, count) if isinstance(count, str) else count
    return None if count is None else [f"layer{number + 1}" for number in range(int(count))]


def unknown_stage(name: str, stages: Collection[str]) -> str:
    """The error message for a stage that a network does not have."""
    return f"unknown stage {name!r}; this network has {', '.join(stages) or 'none'}"
