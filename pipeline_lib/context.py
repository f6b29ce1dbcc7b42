"""Context variables that have a value inside a `with` statement and are reset after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def holding(variable: ContextVar[Any], value: T) -> Iterator[T]:
    """Sets the variable to the value inside the `with` statement, and yields the value."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)
