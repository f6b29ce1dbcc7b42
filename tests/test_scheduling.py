"""Snakemake's scheduler looks at ready jobs when a job has finished, not again and again."""

import re
import subprocess
import sys

import pytest

from planning import ROOT

JOBS = 7  # six, and `all`
SNAKEFILE = """
import sys
sys.path.insert(0, {root!r})
from pipeline_lib.jobs.scheduling import remove_default_rate_limit
from snakemake.scheduling import job_scheduler

selector, looks = job_scheduler.JobScheduler.job_selector, []

def counted(self, jobs):
    looks.append(len(jobs))
    return selector(self, jobs)

job_scheduler.JobScheduler.job_selector = counted

onstart:
    remove_default_rate_limit(workflow.scheduler)

onsuccess:
    print(f"LOOKS {{len(looks)}}")

rule all:
    input: expand("{{i}}", i=range(6))

rule one:
    output: "{{i}}"
    shell: "sleep 0.6; touch {{output}}"
"""


def looks(folder, *options: str) -> int:
    """How often Snakemake looked at the ready jobs of a run of six jobs of 0.6 s and more, one after the other."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(root=str(ROOT)))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--scheduler", "greedy", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    found = re.search(r"LOOKS (\d+)", done.stdout + done.stderr)
    assert found, done.stderr[-2000:]
    assert all((folder / str(i)).exists() for i in range(6))
    return int(found[1])


@pytest.mark.slow
def test_a_finished_job_is_the_only_reason_to_look_at_the_ready_jobs(tmp_path):
    (tmp_path / "own").mkdir()
    assert looks(tmp_path) <= JOBS + 1
    assert looks(tmp_path / "own", "--max-jobs-per-timespan", "50/1s") > JOBS + 1  # a limit of the user's own stays
