"""Context variables that have a value inside a `with` statement, and the one before after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def holding(variable: ContextVar[T | None], value: T) -> Iterator[T]:
    """Inside, the variable has the value, which is also what `as` gives."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)
