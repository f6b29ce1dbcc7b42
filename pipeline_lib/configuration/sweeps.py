"""Entries derived from others: `base` is the entry to change, `sweep` makes several entries at once.

Both are expanded before anything is resolved: the result is the same as for entries written by hand.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline_lib.configuration.messages import fail, lookup


class Sweep(NamedTuple):
    """The dotted key that is swept, and its value as written by the name of each entry."""

    key: str
    values: dict[str, Any]


def written_out(attacks: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Sweep]]:
    """The attacks with `base` and `sweep` expanded, and the sweeps by name.

    Raises:
        PipelineError: an unknown base, lists of different lengths, or two entries of one name.
    """
    entries: dict[str, Any] = {}
    sweeps = {}
    for name, entry in attacks.items():
        where = f"attacks.{name}"
        whole = _with_base(where, entry, attacks)
        made = {name: whole}
        if "sweep" in whole:
            sweeps[name], made = _swept(where, name, whole)
        for other in made:
            if other in entries or (other != name and other in attacks):
                raise fail(where, f"the name {other!r} is used twice: rename one of the two")
        entries |= made
    return entries, sweeps


def _with_base(where: str, entry: Mapping[str, Any], attacks: Mapping[str, Any]) -> dict[str, Any]:
    if "base" not in entry:
        return dict(entry)
    others = {name: other for name, other in attacks.items() if other is not entry}
    base = _with_base(where, lookup(f"{where}.base", entry["base"], others, "attack"), others)
    if "sweep" in base:
        raise fail(f"{where}.base", f"{entry['base']!r} is a sweep: name a single attack")
    return merged(base, {key: value for key, value in entry.items() if key != "base"})


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` merged into `base`, key by key; an inner entry with a method of its own replaces that of `base`."""
    result = dict(base)
    for key, value in over.items():
        below = base.get(key)
        inner = isinstance(value, Mapping) and isinstance(below, Mapping) and "method" not in value
        result[key] = merged(below, value) if inner else value  # type: ignore[arg-type]
    return result


def _swept(where: str, name: str, entry: Mapping[str, Any]) -> tuple[Sweep, dict[str, Any]]:
    """Expands a sweep. Its first key names the entries; further keys change together with it."""
    keys: dict[str, list] = entry["sweep"]
    lengths = {key: len(values) for key, values in keys.items()}
    if len(set(lengths.values())) != 1:
        raise fail(f"{where}.sweep", f"lists of different lengths: {lengths}")
    plain = {key: value for key, value in entry.items() if key != "sweep"}
    first = next(iter(keys))
    values: dict[str, Any] = {}
    made: dict[str, Any] = {}
    for step, value in enumerate(keys[first]):
        own = f"{name}_{slug(value)}"
        if own in made:
            raise fail(f"{where}.sweep.{first}", f"two values are named {own!r}: {values[own]!r} and {value!r}")
        values[own], made[own] = value, plain
        for key in keys:
            made[own] = merged(made[own], _nested(key.split("."), keys[key][step]))
    return Sweep(first, values), made


def slug(value: Any) -> str:
    """A value as part of a name: `2/255` -> `2_255`, `0.5` -> `0_5`."""
    return re.sub(r"[^a-z0-9]+", "_", str(value).lower()).strip("_")


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if path[1:] else value}


def positions(values: Sequence[Any]) -> list[float]:
    """Positions of a sweep's values on an axis: the value for numbers and fractions, the index for anything else."""
    try:
        return list(_numbers(values))
    except (TypeError, ValueError, ZeroDivisionError):
        return [float(place) for place in range(len(values))]


def _numbers(values: Sequence[Any]) -> Iterator[float]:
    for value in values:
        numerator, _, denominator = str(value).partition("/")
        yield float(numerator) / float(denominator or 1)
