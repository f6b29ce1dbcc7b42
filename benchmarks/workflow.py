"""Overhead of the workflow: a dry run of the demo, and a job that only loads torch, warm or not.

    python benchmarks/workflow.py                  # both
    python benchmarks/workflow.py --part plans     # the dry run alone, over that of a Snakefile of one rule

CPU seconds of all processes, which depend little on other processes, as medians over interleaved rounds.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
JOBS = 10
DEMO_JOBS = 150  # of the demo
DEMO, ONE_RULE = "dry run of the demo", "dry run of one rule"

SNAKEFILE = """
from pipeline_lib.jobs import warm
onstart:
    if config["warm"]:
        warm.start()
rule all:
    input:
        expand("{number}.txt", number=range(config["jobs"])),
rule job:
    output:
        "{number}.txt",
    log:
        "{number}.log",
    script:
        "job.py"
"""
# An adapter with log, device and output, but no work.
JOB = """
from pathlib import Path
from pipeline_lib.jobs.adapter import job, torch_device
with job(snakemake):
    torch_device({"threads": 1, "device": "cpu"})
    Path(snakemake.output[0]).touch()
"""


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system time of a command and all its child processes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before = os.times()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def snakemake(*options: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--quiet", "all", *options]


def one_job(folder: Path, warm: int) -> float:
    """Time of one job without the start of Snakemake and the warm process, from runs with several jobs and with one."""
    return (jobs(folder, 1 + JOBS, warm) - jobs(folder, 1, warm)) / JOBS


def jobs(folder: Path, count: int, warm: int, *options: str) -> float:
    """One Snakemake call with `count` empty torch jobs of one rule."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "job.py").write_text(JOB)
    given = ["--config", f"jobs={count}", f"warm={warm}", "gpu_share=1", "lock_wait=60"]
    return cpu_seconds(snakemake("--cores", "1", "--scheduler", "greedy", *options, *given), folder)


def plans(folder: Path) -> dict[str, float]:
    """One round of dry runs."""
    return {
        DEMO: cpu_seconds(snakemake("-n", "--directory", str(folder / "demo")), ROOT),
        ONE_RULE: jobs(folder / "jobs", 1, 1, "-n"),
        f"{ONE_RULE}, {DEMO_JOBS} jobs": jobs(folder / "jobs", DEMO_JOBS, 1, "-n"),
    }


def empty_jobs(folder: Path) -> dict[str, float]:
    """One round of jobs without work."""
    return {
        "one job": one_job(folder / "jobs", warm=1),
        "one job without a warm process": one_job(folder / "jobs", warm=0),
        "Python with torch": cpu_seconds([sys.executable, "-c", "import torch"], folder),
    }


PARTS = {"plans": plans, "jobs": empty_jobs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for part in options.part:
            show([PARTS[part](Path(folder)) for _ in range(options.rounds)])


def show(rounds: list[dict[str, float]]) -> None:
    """Prints the median, least and greatest time of each measurement, and the demo's over that of one rule."""
    for name in rounds[0]:
        print(f"{name}: {summary([times[name] for times in rounds])} s")
    if DEMO in rounds[0]:
        print(f"{DEMO} over {ONE_RULE}: {summary([times[DEMO] / times[ONE_RULE] for times in rounds])}")


def summary(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
