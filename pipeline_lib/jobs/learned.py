"""What earlier runs of a study used, for the requests of later ones: read from the table of `used.py`."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline_lib.jobs.used import TABLE

# The rate of shorter jobs is not that of the device: their time is that of files and of the start.
SECONDS = 5.0


class Use(NamedTuple):
    """Of the jobs of a rule: the largest memory over its estimate, and the slowest rate in TFLOP/s; None if unknown."""

    memory: float
    tflops: float | None


class _Row(NamedTuple):
    rule: str
    on_gpu: bool
    seconds: float
    peak: float
    estimate: float
    tflop: float


def learned(results: Path, on_gpu: bool) -> dict[str, Use]:
    """By rule, what the jobs in the table of a folder of results used. on_gpu: of jobs on GPUs, else of those without.

    Nothing without a table; rows that cannot be read are left out.
    """
    found: dict[str, list[_Row]] = {}
    for row in _rows(results / TABLE):
        if row.on_gpu == on_gpu:
            found.setdefault(row.rule, []).append(row)
    return {rule: _use(rows) for rule, rows in found.items()}


def _use(rows: list[_Row]) -> Use:
    memory = [row.peak / row.estimate for row in rows]
    rates = [row.tflop / row.seconds for row in rows if row.seconds >= SECONDS and row.tflop]
    return Use(max(memory), min(rates, default=None))


def _rows(table: Path) -> Iterator[_Row]:
    """The rows of jobs with an estimate."""
    with suppress(OSError, UnicodeDecodeError, csv.Error), table.open(newline="") as file:
        for row in csv.DictReader(file):
            with suppress(KeyError, TypeError, ValueError):
                numbers = [float(row[key]) for key in ("seconds", "peak_mb", "estimated_mb", "tflop")]
                if min(numbers[1:3]) > 0:
                    yield _Row(row["rule"], bool(row["gpu_peak_mb"]), *numbers)
