"""Attacks compared with the sets and goals that they are given: bounds and regions that an attack cannot move in."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.entries.bounds import EVERYWHERE, strongest_of
from pipeline_lib.entries.classes import class_of, find
from pipeline_lib.entries.facts import declared, layers, located_entries, target_of
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.interfaces import is_protocol, missing_members
from pipeline_lib.entries.methods import METHODS

Entry = Mapping[str, Any]
# A field, and the method or `module:Class` that it has to have.
Condition = tuple[str, str]
ATTACKS = "pipeline_lib.attacks."


def check_supported(where: str, entry: Any) -> None:
    """Raises PipelineError for an attack in an entry with a set that it does not support: by the `supports` of its
    class, or a perturbation of whole clips in a region; and for a worst case of attacks with the goal of one class.

    `supports` is a list of alternatives, e.g. `"inside.perturbation = additive_l2, inside.region = all_pixels"`: of
    each field a method, of whose class or a derived one it is, or a `module:Protocol`.
    """
    for path, part in located_entries(where, entry):
        _check_alternatives(path, part, [_conditions(text) for text in declared(part, "supports") or ()])
        _check_region(path, part)
        _check_goals(path, part)


def _conditions(text: str) -> list[Condition]:
    halves = (condition.split("=") for condition in text.split(","))
    return [(field.strip(), wanted.strip()) for field, wanted in halves]


def _check_alternatives(where: str, entry: Entry, alternatives: list[list[Condition]]) -> None:
    """Raises PipelineError, with the field that the nearest alternative excludes, unless one of them holds."""
    failures = [_first_failure(entry, conditions) for conditions in alternatives]
    broken = [failure for failure in failures if failure is not None]
    if len(broken) < len(failures) or not broken:
        return
    field = max(broken)[1]
    expected = "; or ".join(
        ", ".join(f"{name} = {_described(wanted)}" for name, wanted in conditions) for conditions in alternatives
    )
    given = class_at(entry, field).__name__
    raise fail(f"{where}.{field}", f"{class_of(target_of(entry)).__name__} does not support {given}: give {expected}")


def _first_failure(entry: Entry, conditions: list[Condition]) -> tuple[int, str] | None:
    """Number and field of the first condition that does not hold."""
    numbered = enumerate(conditions)
    return next(((i, field) for i, (field, wanted) in numbered if not fits(class_at(entry, field), wanted)), None)


def fits(cls: type, wanted: str) -> bool:
    """Whether a class has the members of a Protocol, or is another class or derived from it."""
    other = class_of(METHODS.get(wanted, wanted))
    return not missing_members(cls, other) if is_protocol(other) else issubclass(cls, other)


def class_at(entry: Entry, path: str) -> type:
    """The class of the entry in a field, or of the field's default."""
    head, _, rest = path.partition(".")
    inner = entry.get(head)
    if isinstance(inner, Mapping):
        return class_at(inner, rest) if rest else class_of(target_of(inner))
    field = fields(target_of(entry))[head]
    found = find(field.module, field.factory)
    assert found is not None, f"{target_of(entry)} has no default for {path}"
    return found


def _described(wanted: str) -> str:
    """A method by its name; a Protocol by the names of the attacks' methods that have its members."""
    if not is_protocol(class_of(METHODS.get(wanted, wanted))):
        return wanted
    own = {name: target for name, target in METHODS.items() if target.startswith(ATTACKS)}
    return " or ".join(name for name, target in own.items() if fits(class_of(target), wanted))


def _check_region(where: str, entry: Entry) -> None:
    """Raises PipelineError for a perturbation that declares `all_pixels_only`, in a region."""
    perturbation = entry.get("perturbation")
    if not isinstance(perturbation, Mapping) or not declared(perturbation, "all_pixels_only"):
        return
    region = class_of(target_of(entry.get("region") or EVERYWHERE))
    if not issubclass(region, class_of(EVERYWHERE["method"])):
        name = class_of(target_of(perturbation)).__name__
        raise fail(f"{where}.region", f"{region.__name__}: {name} bounds the whole clip, use it with all_pixels")


def _check_goals(where: str, entry: Entry) -> None:
    """Raises PipelineError for a worst case of an attack whose goal is one class, so that other errors would not
    count."""
    field = declared(entry, "strongest_of")
    for i, attack in enumerate(strongest_of(entry)):
        goal = next((layer["goal"] for layer in layers(attack) if isinstance(layer.get("goal"), Mapping)), None)
        if goal is not None and not declared(goal, "any_error"):
            path = f"{where}.{field}" + (f"[{i}]" if isinstance(entry[field], list) else "")
            name = class_of(target_of(goal)).__name__
            raise fail(f"{path}.goal", f"{name} is the goal of one class: a worst case needs goals of any error")
