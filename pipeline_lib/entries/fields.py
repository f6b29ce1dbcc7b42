"""The fields that a configuration entry may give, read from the source text of its method's class.

So checking a configuration imports neither torch nor the class.
"""

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.module_files import source_file
from pipeline_lib.provenance.sources import Field, read_source


@lru_cache
def fields(target: str) -> dict[str, Field]:
    """The dataclass fields of `module:Class`, in order.

    Raises:
        PipelineError: no such module or class.
    """
    name, _, attribute = target.partition(":")
    path = source_file(name)
    classes = read_source(path).classes
    if attribute not in classes:
        raise PipelineError(f"{path} has no class {attribute!r} (wanted by method {target!r})")
    return classes[attribute]


def value_of(entry: Mapping[str, Any], key: str) -> Any:
    """The value of a field: the one that a resolved entry gives, or the default of its class, a literal."""
    if key in entry:
        return entry[key]
    default = fields(entry["method"])[key].default
    if default is None:
        raise PipelineError(f"{entry['method']} has no default for {key!r}")
    return ast.literal_eval(default)
