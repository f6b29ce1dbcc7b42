"""Ranges of fields, and the classes that have them: frozen, keyword-only, checked on construction."""

import dataclasses
import importlib

import pytest

from pipeline_lib.entries.fields import fields
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.entries.ranges import RANGES, Count, Fraction, Positive, method
from pipeline_lib.errors import PipelineError


@method
class Plain:
    """Ranges and nothing else."""

    count: Count
    weight: Fraction = 0.5
    name: str = "plain"


@method
class Ordered:
    """A check of its own, which may rely on the ranges."""

    low: Positive
    high: Positive

    def __post_init__(self) -> None:
        if self.high / self.low < 1:
            raise PipelineError("high is below low")


@method
class Wider(Ordered):
    """A range more than the class it inherits from."""

    count: Count = 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plain(count=0), "count is 0: it must be at least 1"),
        (lambda: Plain(count=1, weight=1.5), "weight is 1.5: it must be a fraction from 0 to 1"),
        (lambda: Plain(count=1, weight=float("nan")), "weight is nan"),
        (lambda: Ordered(low=0, high=1), "low is 0: it must be above 0"),  # before the division by it
        (lambda: Ordered(low=2, high=1), "high is below low"),
        (lambda: Wider(low=2, high=1), "high is below low"),
        (lambda: Wider(low=1, high=0), "high is 0"),
        (lambda: Wider(low=1, high=1, count=0), "count is 0"),
    ],
)
def test_ranges_are_checked_on_construction(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_a_method_is_a_frozen_dataclass_of_keywords():
    assert Plain(count=2) == Plain(count=2, weight=0.5) != Plain(count=3)
    assert dataclasses.replace(Wider(low=1, high=2), count=3).high == 2
    with pytest.raises(TypeError, match="positional"):
        Plain(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Plain(count=2).count = 3


def test_fields_are_read_from_the_text_of_such_a_class():
    """Those of the class that it inherits from come first."""
    found = fields("test_ranges:Plain") | fields("test_ranges:Wider")
    assert [(name, field.annotation, field.required) for name, field in found.items()] == [
        ("count", "Count", False),
        ("weight", "Fraction", False),
        ("name", "str", False),
        ("low", "Positive", True),
        ("high", "Positive", True),
    ]
    assert list(fields("test_ranges:Wider")) == ["low", "high", "count"]


@pytest.mark.parametrize("target", sorted(set(METHODS.values())))
def test_every_method_is_checked_on_construction_as_its_text_says(target):
    """A field whose annotation is a range in the text is one to Python, and the class is one that checks it."""
    name, _, attribute = target.partition(":")
    own = getattr(importlib.import_module(name), attribute)
    ranged = {field.name for field in dataclasses.fields(own) if getattr(field.type, "__metadata__", ())}
    assert ranged == {key for key, field in fields(target).items() if field.annotation in RANGES}
    assert own.__dataclass_params__.frozen
    if ranged:
        instance = object.__new__(own)
        for field in dataclasses.fields(own):
            object.__setattr__(instance, field.name, -1)  # in no range
        with pytest.raises(PipelineError, match="is -1: it must be"):
            instance.__post_init__()
