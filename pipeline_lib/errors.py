"""The exception that is shown to users without a traceback, and the end of its messages about unknown names."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class PipelineError(ValueError):
    """An error that the user can correct. The message names the file or config key, and what to do."""


def known(names: Iterable[str], unknown: Any = "") -> str:
    """The end of a message about an unknown name: all names, and those that it may be a part or a misspelling of."""
    names = sorted(names)
    meant = similar(str(unknown), names) if unknown else []
    return f"known: {', '.join(names)}" + (f"; did you mean {' or '.join(meant)}?" if meant else "")


def similar(unknown: str, names: Iterable[str]) -> list[str]:
    """At most three names: those that begin with the unknown one (a model without its seed), or similar ones."""
    names = list(names)
    return sorted(name for name in names if name.startswith(unknown))[:3] or get_close_matches(unknown, names)
