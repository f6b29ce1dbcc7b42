"""Ranges of numbers as annotations of fields, checked when a configuration is read and when an object is made.

A field `bits: Bits` is an `int` to Python. The configuration's reader finds the range by the annotation's name.
`method` decorates the classes that have such fields.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar, dataclass_transform, get_args

from pipeline_lib.errors import PipelineError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def method(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass, as every method is. A new instance first checks its ranges, then calls the
    class's own `__post_init__`, if any."""
    own = getattr(cls, "__post_init__", None)

    def __post_init__(self: T) -> None:  # noqa: N807
        check_ranges(self)
        if own is not None:
            own(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


class Range(NamedTuple):
    """A condition on a number, as a predicate and in words."""

    holds: Callable[[Any], bool]
    words: str

    def fault(self, value: Any) -> str | None:
        """The violated condition in words, None if it holds. Infinity and NaN are refused."""
        if not math.isfinite(value):
            return f"a finite number, {self.words}"
        return None if self.holds(value) else self.words


Positive = Annotated[float, Range(lambda value: value > 0, "above 0")]
NonNegative = Annotated[float, Range(lambda value: value >= 0, "at least 0")]
AtLeastOne = Annotated[float, Range(lambda value: value >= 1, "at least 1")]
AboveOne = Annotated[float, Range(lambda value: value > 1, "above 1")]
PixelChange = Annotated[float, Range(lambda value: 0 < value <= 1, "above 0, and at most 1 (8/255 for 8 grey levels)")]
Fraction = Annotated[float, Range(lambda value: 0 <= value <= 1, "a fraction from 0 to 1")]
PositiveFraction = Annotated[float, Range(lambda value: 0 < value <= 1, "a fraction above 0, up to 1")]
OpenFraction = Annotated[float, Range(lambda value: 0 < value < 1, "a fraction between 0 and 1")]
Natural = Annotated[int, Range(lambda value: value >= 0, "at least 0")]
Count = Annotated[int, Range(lambda value: value >= 1, "at least 1")]
Levels = Annotated[int, Range(lambda value: value >= 2, "at least 2")]
Odd = Annotated[int, Range(lambda value: value >= 1 and value % 2 == 1, "an odd number of pixels")]
Bits = Annotated[int, Range(lambda value: 1 <= value <= 8, "from 1 to 8")]
Severity = Annotated[int, Range(lambda value: 1 <= value <= 5, "a severity from 1 to 5")]
Quality = Annotated[int, Range(lambda value: 1 <= value <= 100, "from 1 to 100")]

# Name of an annotation -> the name of Python's type, and the range.
RANGES = {
    name: (get_args(kind)[0].__name__, get_args(kind)[1])
    for name, kind in list(globals().items())
    if get_args(kind) and isinstance(get_args(kind)[-1], Range)
}


def check_ranges(instance: Any) -> None:
    """Raises PipelineError, with the name and the value, for a field of a dataclass that is not in its range."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        for wanted in getattr(field.type, "__metadata__", ()):
            if (words := wanted.fault(value)) is not None:
                raise PipelineError(f"{field.name} is {value}: it must be {words}")
