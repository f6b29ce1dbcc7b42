"""Writing rows as CSV."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.runs import atomic_write


def write_rows(output: Path, columns: Iterable[str], rows: Iterable[tuple[Any, ...]], number: str = ".6g") -> None:
    """Writes a CSV atomically, with floats in the format `number`."""
    with atomic_write(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([format(value, number) if isinstance(value, float) else value for value in row])
