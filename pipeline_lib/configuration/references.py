"""The rows that others of a study are compared with: `reference`."""

from collections.abc import Mapping
from typing import Any

from pipeline_lib.configuration.messages import fail, lookup


def check_reference(where: str, reference: str | Mapping[str, str] | None, rows: Mapping[str, Any]) -> None:
    """Raises PipelineError unless the reference is a row, or each row of a mapping has another one."""
    if isinstance(reference, str):
        lookup(where, reference, rows, "row")
    for row, other in {} if reference is None or isinstance(reference, str) else reference.items():
        lookup(f"{where}.{row}", row, rows, "row")
        lookup(f"{where}.{row}", other, rows, "row")
        if row == other:
            raise fail(f"{where}.{row}", "a row is not compared with itself: name another one")
