"""Estimated time of jobs over what they took, from tables that runs have written.

    python benchmarks/asked.py results/logs/used.csv ...       # jobs of 30 s and more
    python benchmarks/asked.py --seconds 60 results/logs/used.csv

Of jobs without a GPU, without the minutes that every job asks for: by the rate of the device, as without an earlier
run, and by the median rate of the same job with other seeds.
"""

import argparse
import math
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np

from pipeline_lib.jobs.costs import START_MINUTES, TIMES
from pipeline_lib.jobs.learned import SECONDS, Row, read_rows


def first_runs(jobs: list[Row], least: float) -> list[float]:
    """Of jobs of `least` seconds and more, the estimate without an earlier run over the time taken."""
    known = [job for job in jobs if not math.isnan(job.estimated_seconds) and job.seconds >= least]
    return [TIMES * job.estimated_seconds / job.seconds for job in known]


def by_seeds(jobs: list[Row], least: float) -> list[float]:
    """Of jobs of `least` seconds and more that ran with other seeds, the estimate by these over the time taken."""
    alike: dict[object, list[Row]] = defaultdict(list)
    for job in jobs:
        if job.seconds >= SECONDS:
            alike[job.rule, job.names].append(job)
    found = []
    for job in jobs:
        others = [other.tflop / other.seconds for other in alike[job.rule, job.names] if other is not job]
        if job.seconds >= least and others:
            found.append(TIMES * job.tflop / median(others) / job.seconds)
    return found


def words(ratios: list[float]) -> str:
    """How many, their median, and where nine of ten are."""
    if not ratios:
        return "no such job"
    low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    inside = np.mean([1.1 <= one <= 2 for one in ratios])
    return f"{len(ratios)} jobs, median {middle:.2f} (5 % to 95 %: {low:.2f} to {high:.2f}), {inside:.0%} in 1.1 to 2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    for table in options.tables:
        jobs = [job for job in read_rows(table) if job.tflop and not job.on_gpu]
        within = sum(job.seconds <= 60 * START_MINUTES for job in jobs)
        print(f"{table}: {within:,} of {len(jobs):,} jobs took at most {START_MINUTES} minutes")
        print("  first run:", words(first_runs(jobs, options.seconds)))
        print("  by other seeds:", words(by_seeds(jobs, options.seconds)))


if __name__ == "__main__":
    main()
