"""Scalar values of configuration entries: numbers, texts and choices, converted to the declared type."""

import math
import re
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.entries.ranges import RANGES
from pipeline_lib.precision import check_precision


def choice(where: str, value: Any, choices: list) -> Any:
    if value not in choices:
        raise fail(where, f"expected one of {choices}, got {value!r}")
    return value


def expect(where: str, value: Any, kind: type, words: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise fail(where, f"expected {words}, got {value!r}")


def _integer(where: str, value: Any) -> int:
    """An integer, or its text: Snakemake's `--config` reads all values inside a mapping as text."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    expect(where, value, int, "an integer")
    return value


def _number(where: str, value: Any) -> float:
    """A number, or a fraction of two numbers as text (`4/255`)."""
    numerator, slash, denominator = value.partition("/") if isinstance(value, str) else (value, "", "1")
    try:
        number = float(numerator) / float(denominator if slash else 1)
        if isinstance(value, bool) or math.isnan(number):
            raise ValueError
        return number
    except (TypeError, ValueError, ZeroDivisionError):
        raise fail(where, f"expected a number or a fraction such as 4/255, got {value!r}") from None


def _boolean(where: str, value: Any) -> bool:
    value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    expect(where, value, bool, "true or false")
    return value


def _text(where: str, value: Any) -> str:
    expect(where, value, str, "a text")
    return value


def ranged(where: str, value: Any, name: str) -> Any:
    """A number, checked against a range annotation of `entries/ranges.py`."""
    plain, wanted = RANGES[name]
    number = SCALARS[plain](where, value)
    if (words := wanted.fault(number)) is not None:
        raise fail(where, f"{number} must be {words}")
    return number


SCALARS = {"int": _integer, "float": _number, "bool": _boolean, "str": _text, "Precision": check_precision}
