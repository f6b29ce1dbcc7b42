"""The bounds of attacks, compared by their resolved entries: perturbation, region and center of the start."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.entries.facts import Entry, field_named_by, known_value, target_of, wrapped
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS

# Fields of perturbations that change the steps of an attack, not its bound.
OF_STEPS = ("step_size", "fewest", "most", "smallest_norm")
CONSTANT = METHODS["constant"]
EVERYWHERE = {"method": METHODS["all_pixels"]}


def bound_of_entry(attack: Entry) -> Any:
    """The bound of an attack, equal for attacks with the same set; for one without a perturbation the attack itself."""
    inner = [*strongest_of(attack), field_named_by(attack, "bounded_by"), wrapped(attack)]
    for other in inner:
        if isinstance(other, Mapping):
            return bound_of_entry(other)
    if "perturbation" not in fields(target_of(attack)):
        return attack
    bound = {name: value for name, value in complete(attack["perturbation"]).items() if name not in OF_STEPS}
    start = attack.get("start") or {}
    center = complete(start) if start and target_of(start) == CONSTANT else "clean clips"
    return {"bound": bound, "region": complete(attack.get("region") or EVERYWHERE), "center": center}


def strongest_of(attack: Entry) -> list[Entry]:
    """The attacks that an attack is at least as strong as on every clip, by `strongest_of` of its class."""
    found = field_named_by(attack, "strongest_of") or []
    return [found] if isinstance(found, Mapping) else list(found)


def complete(entry: Entry) -> dict[str, Any]:
    """A resolved entry, and those in it, with the defaults that are plain data."""
    values = {name: known_value(entry, name) for name in fields(target_of(entry))}
    inner = {name: complete(value) if _is_entry(value) else value for name, value in values.items()}
    return {"method": target_of(entry)} | inner


def _is_entry(value: Any) -> bool:
    return isinstance(value, Mapping) and "method" in value
