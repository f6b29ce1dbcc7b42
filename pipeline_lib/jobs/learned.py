"""What earlier runs of a study used, for the requests of later ones: read from the table of `used.py`."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from pipeline_lib.jobs.used import TABLE

# The rate of shorter jobs is not that of the device: their time is that of files and of the start.
SECONDS = 5.0
SEED = re.compile(r"-s\d+(?=-|$)")


Names = frozenset[str]
"""What jobs that differ by their seed have in common: data set, model, attack."""


class Use(NamedTuple):
    """Of the jobs of a rule: the largest memory over its estimate; rates in TFLOP/s, for jobs that differ by their seed
    the median. One of them may have waited for others, and would make all later requests long."""

    memory: float
    rates: Mapping[Names, float]

    @property
    def slowest(self) -> float | None:
        """The slowest of the rates; None if none is known."""
        return min(self.rates.values(), default=None)


class Row(NamedTuple):
    """A job with an estimate: its seconds, peak memory in MB, and what was estimated of memory, of TFLOP, and of
    seconds at the rate of the device (NaN in tables of earlier versions)."""

    rule: str
    names: Names
    on_gpu: bool
    seconds: float
    peak: float
    estimate: float
    tflop: float
    estimated_seconds: float


def learned(results: Path, on_gpu: bool) -> dict[str, Use]:
    """By rule, what the jobs in the table of a folder of results used. on_gpu: of jobs on GPUs, else of those without.

    Nothing without a table; rows that cannot be read are left out.
    """
    found: dict[str, list[Row]] = {}
    for row in read_rows(results / TABLE):
        if row.on_gpu == on_gpu:
            found.setdefault(row.rule, []).append(row)
    return {rule: _use(rows) for rule, rows in found.items()}


def names_of(values: Iterable[str]) -> Names:
    """The names of a job's data set, models and attack, without seeds."""
    return frozenset(SEED.sub("", value) for value in values)


def _use(rows: list[Row]) -> Use:
    rates: dict[Names, list[float]] = {}
    for row in rows:
        if row.seconds >= SECONDS and row.tflop:
            rates.setdefault(row.names, []).append(row.tflop / row.seconds)
    return Use(max(row.peak / row.estimate for row in rows), {key: median(found) for key, found in rates.items()})


def _names(job: str) -> Names:
    """Those of a job by its log, `DATASET/KIND/MODEL/...`; that of a prediction ends in `clean`."""
    dataset, _, *others = [*job.split("/"), ""]
    return names_of([dataset, *others]) - {"", "clean"}


def read_rows(table: Path) -> Iterator[Row]:
    """The jobs of a table that have an estimate; none of a table that cannot be read."""
    with suppress(OSError, UnicodeDecodeError, csv.Error), table.open(newline="") as file:
        for row in csv.DictReader(file):
            with suppress(KeyError, TypeError, ValueError):
                numbers = [float(row[key]) for key in ("seconds", "peak_mb", "estimated_mb", "tflop")]
                if min(numbers[1:3]) > 0:
                    names, on_gpu = _names(row["job"]), bool(row["gpu_peak_mb"])
                    numbers.append(float(row.get("estimated_seconds") or "nan"))
                    yield Row(row["rule"], names, on_gpu, *numbers)
