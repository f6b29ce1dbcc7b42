"""One workflow at a time makes results in a folder, and jobs that the user forces keep nothing of earlier runs."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snakemake.persistence.file import FilePersistence

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import forcing, results_lock
from pipeline_lib.jobs.logs import SNAKEMAKE
from pipeline_lib.jobs.runs import run_folder

HOLD = """
import sys, time
from pathlib import Path
from pipeline_lib.jobs.results_lock import hold
hold(Path(sys.argv[1]), 0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another workflow in the same folder of results."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_workflow_is_refused_and_told_who_has_the_results(tmp_path, other):
    expected = f"process {other.pid} on {re.escape(socket.gethostname())} makes results in {tmp_path}"
    with pytest.raises(PipelineError, match=expected):
        results_lock.hold(tmp_path, 0)


def test_the_workflow_says_so_in_one_line_and_ends(tmp_path, other, caplog):
    with pytest.raises(SystemExit) as end:
        results_lock.hold_or_exit(tmp_path, 0)
    (line,) = [record.getMessage() for record in caplog.records if record.name == SNAKEMAKE.name]
    assert end.value.code == 1
    assert f"process {other.pid} on" in line
    assert "\n" not in line


def test_it_waits_for_the_first_one_even_if_that_is_killed(tmp_path, other):
    other.kill()
    began = time.monotonic()
    results_lock.hold(tmp_path, 30)
    assert time.monotonic() - began < 20
    results_lock.release(tmp_path)


def test_a_process_may_hold_the_lock_twice_and_another_folder_is_free(tmp_path, other):
    for _ in range(2):
        results_lock.hold(tmp_path / "other", 0)
    results_lock.release(tmp_path / "other")
    results_lock.release(tmp_path / "other")


def test_it_is_released_behind_the_locks_of_snakemake_which_removes_their_folder(tmp_path):
    """Else a workflow that waited for it writes its locks into a folder that is just being removed."""
    persistence = object.__new__(FilePersistence)
    persistence.__dict__ |= {"_path": tmp_path, "_lockdir": str(tmp_path / "locks"), "_lockfile": {}}
    results_lock.hold(tmp_path, 0)
    results_lock.release_after_snakemake(persistence, tmp_path)
    persistence._write_locks("output", ["file"])
    assert tmp_path / results_lock.NAME in results_lock._held
    persistence.unlock()
    assert not (tmp_path / "locks").exists()
    assert tmp_path / results_lock.NAME not in results_lock._held
    results_lock.release_after_snakemake(persistence, tmp_path)  # of the one that waited: its own is older than that
    persistence._write_locks("output", ["file"])
    assert list(persistence._read_locks()) == [("output", "file")]


def kept_files(root: Path) -> list[str]:
    with run_folder(root, "key") as folder:
        return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def test_a_forced_job_keeps_nothing_of_an_earlier_run_and_its_next_attempt_all(tmp_path):
    with run_folder(tmp_path, "key") as folder:
        (folder / "final.pt").touch()
        (folder / "shards").mkdir()
    forcing.mark(tmp_path, ["mine"])
    with forcing.marked_by(forcing.marks(tmp_path) / "other"):
        assert kept_files(tmp_path) == ["final.pt", "shards"]
    with forcing.marked_by(forcing.marks(tmp_path) / "mine"):
        assert kept_files(tmp_path) == []
        (tmp_path / "key/checkpoint.pt").touch()
        assert kept_files(tmp_path) == ["checkpoint.pt"]


def test_marks_of_an_earlier_workflow_are_removed(tmp_path):
    forcing.mark(tmp_path, ["one"])
    forcing.mark(tmp_path, ["other"])
    assert os.listdir(forcing.marks(tmp_path)) == ["other"]  # noqa: PTH208
    forcing.mark(tmp_path, [])
    assert not forcing.marks(tmp_path).exists()
