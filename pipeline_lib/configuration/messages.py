"""Errors in a configuration. They name the key by its dotted path."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.errors import PipelineError, known


def fail(where: str, message: str) -> PipelineError:
    """The error for a config key; `where` is its dotted path."""
    return PipelineError(f"config: {where}: {message}")


def lookup(where: str, name: Any, section: Mapping[str, Any], kind: str) -> Any:
    """The entry called `name` in a section. Raises PipelineError with the known names if there is none."""
    if name not in section:
        raise fail(where, f"unknown {kind} {name!r}; {known(section, name)}")
    return section[name]
