"""Resolved entries in words: `gradient ascent (PGD): perturbation l-inf (epsilon 8/255, step size 4/255), steps 3`.

No class is imported. A class may declare its name in words as `title: ClassVar[str]`; without one it is that of
`methods`, or the name of the class.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.entries.classes import Definition, find
from pipeline_lib.entries.facts import declared, target_of
from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.provenance.fingerprints import canonical

Entry = Mapping[str, Any]
GRAY_LEVELS = 255
SHORT = 6  # characters of a number that is written as it is
EMPTY = "[]"
NOT_FIELDS = ("method", "base", "storage")  # keys of an entry that do not describe its object


def given_fields(entry: Entry) -> dict[str, Any]:
    """The fields that an entry gives, in the order of its class."""
    names = [*(fields(target_of(entry)) if "method" in entry else ()), *entry]
    return {name: entry[name] for name in dict.fromkeys(names) if name in entry and name not in NOT_FIELDS}


def all_fields(entry: Entry) -> dict[str, Any]:
    """The fields of an entry with the defaults of its class, in the order of the class.

    Left out: defaults that are None or False, those that are no plain data or object without arguments, and that of a
    precision, which is the run's.
    """
    defaults = {}
    for name, one in fields(target_of(entry)).items() if "method" in entry else ():
        made = find(one.module, one.factory) if one.factory else None
        value = {"method": _target(made)} if made and "definition" in vars(made) else one.default
        if not one.required and value not in (None, False) and one.annotation != "Precision":
            defaults[name] = value
    given = given_fields(entry)
    names = [*(fields(target_of(entry)) if "method" in entry else ()), *given]
    return {name: (defaults | given)[name] for name in dict.fromkeys(names) if name in defaults or name in given}


def _target(made: type) -> str:
    definition: Definition = vars(made)["definition"]
    return f"{definition.module}:{definition.name}"


def title_of(entry: Entry) -> str:
    """The name of an entry's method in words."""
    target = target_of(entry)
    names = [name for name, one in METHODS.items() if one == target]
    name = names[0].replace("_", " ") if names else target.rpartition(":")[2]
    return str(declared(entry, "title") or name)


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Writes entries in words.

    shown: the fields of an entry that are written. names: entries in canonical form that are written by a name.
    known: what is written already; the cells of a table have few entries.
    """

    shown: Callable[[Entry], Mapping[str, Any]] = all_fields
    names: Mapping[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, entry: Entry) -> str:
        """An entry in words: its title, a colon, its fields."""
        words = self.fields_of(entry)
        return f"{title_of(entry)}: {words}" if words else title_of(entry)

    def fields_of(self, entry: Entry) -> str:
        """The fields of an entry, or of plain data without a method, in words."""
        key = repr(entry)  # with the order of its fields
        if key not in self.known:
            found = [self._field(name.replace("_", " "), value) for name, value in self.shown(entry).items()]
            self.known[key] = ", ".join(filter(None, found))
        return self.known[key]

    def _field(self, name: str, value: Any) -> str:
        words = self._value(value)
        return f"{name} {words}" if words else ""

    def _value(self, value: Any) -> str:
        if isinstance(value, Mapping):
            return self._nested(value)
        if isinstance(value, list | tuple):
            return f"[{', '.join('clean' if one is None else self._value(one) for one in value)}]" if value else ""
        return "" if value is None else plain_words(value)

    def _nested(self, entry: Entry) -> str:
        if (key := canonical(entry)) in self.names:
            return self.names[key]
        if "method" not in entry:
            return f"{{{', '.join(f'{name} {self._value(value) or EMPTY}' for name, value in entry.items())}}}"
        words = self.fields_of(entry)
        return f"{title_of(entry)} ({words})" if words else title_of(entry)


def plain_words(value: bool | float | str) -> str:
    """A number or text. A long fraction that is a number of gray levels is written so: 0.0313725... is 8/255."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    if len(repr(value)) <= SHORT or not math.isfinite(value):
        return f"{value:g}"
    levels = value * GRAY_LEVELS
    if 0 < abs(levels) < GRAY_LEVELS and math.isclose(levels, round(levels, 2), rel_tol=1e-9):
        return f"{round(levels, 2):g}/{GRAY_LEVELS}"
    return f"{value:.6g}"
