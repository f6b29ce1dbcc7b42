"""The fields that a configuration entry may give, read from the source text of its method's class.

So checking a configuration imports neither torch nor the class.
"""

from functools import lru_cache

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
