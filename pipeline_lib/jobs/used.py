"""What jobs asked for and used: a file beside the log of each, and a table of all of them.

Snakemake's `benchmark:` measures the process that it starts. That one waits for a fork of the warm process (`warm.py`),
which does the work, so a job measures itself.
"""

import csv
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.memory import status_of
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.jobs.warm import preloaded_files

ENDING = ".used.json"
TABLE = "logs/used.csv"
COLUMNS = (
    *("job", "rule", "threads", "seconds", "cpu_seconds", "asked_minutes", "peak_mb", "asked_mb", "asked_by_used"),
    *("gpu_peak_mb", "estimated_mb", "tflop", "estimated_seconds"),
)


@contextmanager
def measured(snakemake: Any) -> Iterator[None]:
    """Writes beside the log of a job, after its body, what the job asked for and used; nothing after an error.

    cpu_seconds: of all its threads and of processes that it started and that have ended.
    """
    began, computed = time.monotonic(), cpu_seconds()
    yield
    asked = getattr(snakemake, "resources", {})
    estimate = getattr(getattr(snakemake, "params", None), "estimate", None) or {}
    facts = {
        "rule": snakemake.rule,
        "threads": getattr(snakemake, "threads", 1),
        "seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(cpu_seconds() - computed, 2),
        "asked_minutes": asked.get("runtime"),
        "peak_mb": round(peak_mb()),
        "asked_mb": asked.get("mem_mb"),
        "gpu_peak_mb": gpu_peak_mb(),
        "estimated_mb": estimate.get("mb"),
        "tflop": estimate.get("tflop"),
        "estimated_seconds": estimate.get("seconds"),
    }
    with suppress(OSError):  # a result is not lost for it
        Path(snakemake.log[0]).with_suffix(ENDING).write_text(json.dumps(facts) + "\n")


def cpu_seconds() -> float:
    """CPU time so far of this process and of those that it started and that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def peak_mb() -> float:
    """The largest memory so far of this process or of one that it started and that has ended, in MB.

    A fork of the warm process maps libraries when it uses them; counted is what a process of its own would have mapped.
    """
    unmapped = max(preloaded_files() - status_of("RssFile"), 0)
    return max(own_peak() + unmapped, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 / 1e6


def own_peak() -> int:
    """The largest memory of this process in KiB. `ru_maxrss` contains that of the process that started it, too."""
    return status_of("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def gpu_peak_mb() -> int | None:
    """The largest memory of this process's tensors on a GPU in MB; None without one."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return round(cuda.max_memory_allocated() / 1e6) if cuda and cuda.is_initialized() else None


def write_table(results: Path) -> None:
    """Writes the table of all jobs of a folder of results that were measured, as CSV, by the names of their logs."""
    rows = rows_of(results)
    if not rows:
        return
    with atomic_write(results / TABLE) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def rows_of(results: Path) -> list[dict[str, Any]]:
    """The rows of the table, by the names of the logs."""
    files = sorted([*results.glob(f"logs/**/*{ENDING}"), *results.glob(f"*/logs/**/*{ENDING}")])
    return [row for path in files if (row := row_of(path, results))]


def row_of(path: Path, results: Path) -> dict[str, Any]:
    """A job's row; empty for a file that is damaged. asked_by_used: requested memory over the peak."""
    try:
        facts = json.loads(path.read_text())
        ratio = round(facts["asked_mb"] / facts["peak_mb"], 2) if facts["asked_mb"] else None
    except (OSError, ValueError, TypeError, KeyError, ZeroDivisionError):
        return {}
    name = path.relative_to(results).as_posix().removesuffix(ENDING).replace("logs/", "", 1)
    return {"job": name, **{key: facts.get(key) for key in COLUMNS[1:]}, "asked_by_used": ratio}
