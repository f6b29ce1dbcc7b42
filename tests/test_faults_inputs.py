"""Whatever a job reads of the results is an input whose bytes were compared with a record before."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faulty import all_jobs, finish
from pipeline_lib.provenance.descriptions import Description

pytestmark = pytest.mark.faults

# Loaded by every Python process: writes the job's script and the path of each file that it opens for reading.
RECORDER = """
import os, sys
log = os.open(os.environ["OPENED_FILES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def record(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and not arguments[2] & (os.O_WRONLY | os.O_CREAT):
        script = sys.argv[0] if hasattr(sys, "argv") else ""
        os.write(log, f"{script}\\t{os.path.abspath(os.fsdecode(arguments[0]))}\\n".encode())
sys.addaudithook(record)
"""
# Run folders and records have digests of their own; logs are not read for a result.
OTHERS = ("/logs/", "/identities/")


def opened(log: Path, results: Path) -> Iterator[tuple[str, str]]:
    """Script and path of each line of a log about a result that a job opened; temporary files left out."""
    for line in log.read_text().splitlines():
        script, path = line.split("\t")
        below = path.startswith(f"{results}/") and not any(part in path for part in OTHERS)
        if script.endswith(".py") and ".snakemake/scripts" in script and below and "/." not in path:
            yield Path(script).name.split(".")[1], path


def test_jobs_read_nothing_but_files_with_records(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    monkeypatch.setenv("OPENED_FILES", str(tmp_path / "opened"))
    folder = tmp_path / "work"
    finish(folder)
    _, jobs = all_jobs(folder / "results")
    known = [(job.rule, path) for job in jobs for path in inputs_and_outputs(job)]
    read = set(opened(tmp_path / "opened", folder / "results"))
    scripts = {"decode", "train", "learn", "attack", "predict", "table", "audit", "summary"}
    assert {script for script, _ in read} == scripts
    assert [
        one for one in read if not any(rule.startswith(one[0]) and one[1].startswith(path) for rule, path in known)
    ] == []


def inputs_and_outputs(job: Description) -> list[str]:
    return [*job.outputs.values(), *(path for paths in job.input_files().values() for path in paths)]
