"""Errors in a configuration. They name the key by its dotted path."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pipeline_lib.errors import PipelineError


def fail(where: str, message: str) -> PipelineError:
    """The error for a config key; `where` is its dotted path."""
    return PipelineError(f"config: {where}: {message}")


def known(names: Iterable[str], unknown: Any = "") -> str:
    """The end of a message about an unknown name: all names, and those that it may be a part or a misspelling of."""
    names = sorted(names)
    meant = similar(str(unknown), names) if unknown else []
    return f"known: {', '.join(names)}" + (f"; did you mean {' or '.join(meant)}?" if meant else "")


def similar(unknown: str, names: list[str]) -> list[str]:
    """At most three names: those that begin with the unknown one (a model without its seed), or similar ones."""
    return [name for name in names if name.startswith(unknown)][:3] or get_close_matches(unknown, names)


def lookup(where: str, name: Any, section: Mapping[str, Any], kind: str) -> Any:
    """The entry called `name` in a section. Raises PipelineError with the known names if there is none."""
    if name not in section:
        raise fail(where, f"unknown {kind} {name!r}; {known(section, name)}")
    return section[name]
