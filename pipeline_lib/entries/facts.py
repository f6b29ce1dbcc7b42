"""What a class declares about itself, so that nothing has to be guessed from the names of its fields.

A fact is a constant of the class, e.g. `passes: ClassVar[str] = "iterations"`, which is read without importing it.
Entries are resolved ones, or as written with the short name of a method.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipeline_lib.entries.classes import class_of, constant
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError

Entry = Mapping[str, Any]

NO_STAGES = "this network has no stages layer1, layer2, ... to compare features after"

# Keys of an attack's entry that are the workflow's own: no attack may have a field of such a name.
RESERVED = ("base", "method", "storage", "sweep")


def target_of(entry: Entry) -> str:
    """The `module:Class` of an entry."""
    return METHODS.get(str(entry.get("method")), str(entry.get("method")))


def declared(entry: Entry, fact: str) -> Any:
    """What the class of an entry, or one that it inherits from, declares; None where it declares nothing."""
    return constant(class_of(target_of(entry)), fact) if "method" in entry else None


def known_value(entry: Entry, key: str) -> Any:
    """A field's value: as given, or the default of the class where that is plain data; else None."""
    field = fields(target_of(entry)).get(key)
    return entry.get(key, field.default if field else None)


def value_of(entry: Entry, key: str) -> Any:
    """`known_value`; PipelineError where there is none."""
    value = known_value(entry, key)
    if value is None:
        raise PipelineError(f"{target_of(entry)} has no default for {key!r}")
    return value


def field_named_by(entry: Entry, fact: str) -> Any:
    """The value of the field whose name the class declares as `fact`; None without the fact or the value."""
    name = declared(entry, fact)
    return None if name is None else known_value(entry, name)


def layers(outer: Any) -> Iterator[Any]:
    """An attack, defense or network, and what it wraps, from the outside in: an entry, or an object built of one.

    A class says by `wraps: ClassVar[str]` in which of its fields that is.
    """
    while outer is not None:
        yield outer
        outer = wrapped(outer)


def wrapped(outer: Any) -> Any:
    """What an attack, defense or network wraps; None if it wraps nothing."""
    if isinstance(outer, Mapping):
        return field_named_by(outer, "wraps")
    name = getattr(type(outer), "wraps", None)
    return getattr(outer, name) if isinstance(name, str) else None


def innermost(outer: Any) -> Any:
    """The attack, defense or network inside all others: an entry or an object, as `outer` is."""
    return list(layers(outer))[-1]


def loss_of_entry(entry: Entry) -> Entry | None:
    """What an attack's entry says to climb. A class with a field `loss` of its own keeps it."""
    return None if "loss" in fields(target_of(entry)) else entry.get("loss")


def learning_of(entry: Entry) -> Entry | None:
    """How an attack is learned on a trained model first, which its class declares by `learned_by`; else None."""
    return field_named_by(entry, "learned_by")


def own_entry(entry: Entry) -> dict[str, Any]:
    """An attack's entry without the keys that are not its class's."""
    own = fields(target_of(entry))
    return {key: value for key, value in entry.items() if key == "method" or key in own}


def margin_of(attack: Any) -> int:
    """How many pixels an attack adds on each side of the picture: the member that its class names as `adds_margin`."""
    names = ((layer, getattr(type(layer), "adds_margin", None)) for layer in layers(attack))
    return next((getattr(layer, name) for layer, name in names if isinstance(name, str)), 0)


def stages_of_entry(entry: Entry) -> list[str] | None:
    """The stages of a network by its class's `stage_count`, a number or the name of a field; None if undeclared."""
    network = innermost(entry)
    count = declared(network, "stage_count")
    count = known_value(network, count) if isinstance(count, str) else count
    return None if count is None else [f"layer{number + 1}" for number in range(int(count))]


def unknown_stage(name: str, stages: Collection[str]) -> str:
    """What is wrong with the name of a stage that a network does not have."""
    return f"unknown stage {name!r}; this network has {', '.join(stages) or 'none'}"
