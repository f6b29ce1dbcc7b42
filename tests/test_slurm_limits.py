"""What a cluster does to jobs, on a private SLURM: limits of time and memory, requeues, a full disk, other users."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from local_slurm import MEMORY_LIMITS, local_slurm
from pipeline_lib.jobs.devices import gpu_count
from pipeline_lib.jobs.used import COLUMNS, TABLE
from test_slurm import (
    CELLS,
    LEFT_OUT,
    LOG,
    LONG_TRAINING,
    MODEL,
    ROOT,
    background,
    branched,
    jobs,
    on_slurm,
    run,
    succeed,
    trained,
    untrained,
    wait_until,
)

__all__ = ["branched", "trained", "untrained"]
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(LEFT_OUT, reason="no private SLURM")]
# A training of minutes, which no test waits for.
LONGER = {"training": {"scratch": {"epochs": 5000}}}
NOBODY = 65534


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    with local_slurm(tmp_path_factory.mktemp("slurm"), more=MEMORY_LIMITS) as environment:
        yield environment


def checkpoint(folder: Path) -> bool:
    return any(folder.glob("results/.runs/train/*/checkpoint.pt"))


def continued(folder: Path) -> bool:
    log = folder / LOG
    return log.exists() and "continuing at step" in log.read_text()


def minutes(job: dict[str, str]) -> int:
    hours, minutes, _ = job["TimeLimit"].split(":")
    return 60 * int(hours) + int(minutes)


def memory(job: dict[str, str]) -> int:
    return int(job["MinMemoryNode"].rstrip("M"))


def ask(slurm: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=slurm, check=True, capture_output=True, text=True).stdout


def test_before_its_time_limit_a_training_saves_and_the_next_attempt_asks_for_twice_as_much(slurm, untrained):
    log = untrained.with_suffix(".log")
    with background(on_slurm(untrained, LONGER, MODEL), slurm, log) as process:
        wait_until(lambda: checkpoint(untrained), process)
        (first,) = jobs(slurm, untrained)
        ask(slurm, "scontrol", "update", f"JobId={first['JobId']}", "TimeLimit=1")
        wait_until(lambda: continued(untrained), process)
        stopped, second = jobs(slurm, untrained)
    assert stopped["JobState"] == "FAILED"  # by itself: SIGTERM came before the limit
    assert minutes(second) == pytest.approx(2 * minutes(first), abs=2)  # each is rounded
    assert memory(second) == pytest.approx(2 * memory(first), abs=2)
    ask(slurm, "scancel", second["JobId"])


def test_a_job_over_its_memory_is_ended_and_the_next_attempts_ask_for_more(slurm, untrained):
    """A table of earlier runs that says that trainings need a fifth of what is estimated."""
    facts = {"rule": "train", "seconds": 1, "peak_mb": 200, "estimated_mb": 1000, "tflop": 0}
    (untrained / "results" / TABLE).parent.mkdir(parents=True, exist_ok=True)
    row = ",".join(str(facts.get(column, "")) for column in COLUMNS)
    (untrained / "results" / TABLE).write_text(",".join(COLUMNS) + f"\n{row}\n")
    succeed(on_slurm(untrained, LONG_TRAINING, MODEL), slurm)
    submitted = jobs(slurm, untrained)
    asked = [memory(job) for job in submitted]
    assert len(asked) > 1
    assert asked == pytest.approx([asked[0] * attempt for attempt in range(1, len(asked) + 1)], abs=3)
    assert {job["JobState"] for job in submitted[:-1]} == {"FAILED"}
    assert submitted[-1]["JobState"] == "COMPLETED"
    assert (untrained / MODEL).exists()


def test_a_requeued_training_continues_as_the_same_job(slurm, trained, untrained):
    log = untrained.with_suffix(".log")
    with background(on_slurm(untrained, LONG_TRAINING, MODEL), slurm, log) as process:
        wait_until(lambda: checkpoint(untrained), process)
        (first,) = jobs(slurm, untrained)
        ask(slurm, "scontrol", "requeue", first["JobId"])
        wait_until(lambda: jobs(slurm, untrained)[0]["JobState"] == "PENDING", process)
        ask(slurm, "scontrol", "update", f"JobId={first['JobId']}", "StartTime=now")  # not in two minutes
        assert process.wait(timeout=300) == 0, log.read_text()[-5000:]
    (job,) = jobs(slurm, untrained)
    assert (job["JobId"], job["JobState"], job["Restarts"]) == (first["JobId"], "COMPLETED", "1")
    assert continued(untrained)
    assert (untrained / MODEL).read_bytes() == (trained / MODEL).read_bytes()


@contextmanager
def small_disk(folder: Path, spare_kb: int) -> Iterator[None]:
    """Inside, a folder on a file system of its own, with as much space left."""
    kept = folder.with_name("kept")
    shutil.move(folder, kept)
    folder.mkdir()
    used = int(ask(dict(os.environ), "du", "-sk", str(kept)).split()[0])
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + spare_kb}k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system needs privileges")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_named_and_with_space_the_same_command_finishes(slurm, untrained):
    with small_disk(untrained / "results", spare_kb=20):
        call = on_slurm(untrained, LONG_TRAINING, "--retries", "0", MODEL)
        status, output = run(call, slurm)
        assert status == 1
        assert "No space left on device" in output + (untrained / LOG).read_text()
        assert not (untrained / MODEL).exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(untrained / "results")], check=True)
        succeed(call, slurm)
        assert (untrained / MODEL).exists()


def test_no_more_jobs_are_submitted_at_once_than_allowed(slurm, branched, tmp_path):
    folder = tmp_path / "one"
    shutil.copytree(branched, folder, ignore=shutil.ignore_patterns("predictions"))
    succeed(on_slurm(folder, {}, "--jobs", "1", *CELLS), slurm)
    submitted = jobs(slurm, folder)
    assert len(submitted) == len(CELLS)
    times = [(job["SubmitTime"], job["EndTime"]) for job in submitted]
    assert all(submit >= end for (_, end), (submit, _) in pairwise(times))


def test_cells_as_an_array_of_jobs(slurm, branched, tmp_path):
    folder = tmp_path / "array"
    shutil.copytree(branched, folder, ignore=shutil.ignore_patterns("predictions"))
    succeed(on_slurm(folder, {}, "--slurm-array-jobs", "predict_clean", *CELLS), slurm)
    tasks = jobs(slurm, folder)
    assert all((folder / cell).exists() for cell in CELLS)
    assert len({job["ArrayJobId"] for job in tasks}) == 1
    assert {job["ArrayTaskId"] for job in tasks} == {"1", "2", "3"}


@pytest.mark.skipif(gpu_count() > 0, reason="the fake GPUs have the numbers of real ones")
def test_of_two_gpus_each_job_sees_its_own(slurm, untrained):
    """Both start at once; without real GPUs each stops, and its log says which one SLURM gave it."""
    two = LONG_TRAINING | {"device": "cuda", "seeds": [0, 1]}
    models = [MODEL, MODEL.replace("-s0", "-s1")]
    ask(slurm, "scontrol", "update", "PartitionName=gpu", "State=DOWN")
    command, log = on_slurm(untrained, two, "--retries", "0", *models), untrained.with_suffix(".log")
    with background(command, slurm, log) as process:
        wait_until(lambda: len(jobs(slurm, untrained)) == 2, process)
        ask(slurm, "scontrol", "update", "PartitionName=gpu", "State=UP")
        assert process.wait(timeout=300) == 1, log.read_text()[-5000:]
    logs = [(untrained / LOG.replace("-s0", f"-s{seed}")).read_text() for seed in (0, 1)]
    assert {re.search(r"\(visible: (.*?)\)", log)[1] for log in logs} == {"0", "1"}


def another_user(home: Path) -> tuple[list[str], str]:
    """The beginning of a command of another user, and a Python that this user may run with the packages of this one."""
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", f"HOME={home}"]
    packages = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    become += [f"XDG_CACHE_HOME={home}/cache", f"PYTHONPATH={os.pathsep.join(packages)}"]
    for python in (sys.executable, "/usr/bin/python3"):
        test = [*become, python, "-c", "import pipeline_lib, snakemake, h5py"]
        if subprocess.run(test, cwd="/", capture_output=True).returncode == 0:
            return become, python
    pytest.skip("another user can run no Python with these packages")


def test_two_users_run_at_once_and_each_has_its_own_files(untrained):
    """In a folder that others may read, as everything on a cluster is; each has a copy of the clips."""
    scratch = Path(tempfile.mkdtemp())
    try:
        scratch.chmod(0o755)
        become, python = another_user(scratch / "theirs")
        (scratch / "slurm").mkdir()
        with local_slurm(scratch / "slurm") as environment:
            for name in ("ours", "theirs"):
                shutil.copytree(untrained, scratch / name)
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(scratch / "theirs")], check=True)
            ours, theirs = (on_slurm(scratch / name, LONG_TRAINING, MODEL) for name in ("ours", "theirs"))
            log = scratch / "ours.log"
            with background(ours, environment, log) as process:
                succeed([*become, *(python if word == sys.executable else word for word in theirs)], environment)
                assert process.wait(timeout=300) == 0, log.read_text()[-5000:]
            owners = [jobs(environment, scratch / name)[0]["UserId"] for name in ("ours", "theirs")]
            assert [owner.partition("(")[2] for owner in owners] == ["0)", f"{NOBODY})"]
            files = [(scratch / name / MODEL) for name in ("ours", "theirs")]
            assert [file.stat().st_uid for file in files] == [0, NOBODY]
            assert files[0].read_bytes() == files[1].read_bytes()
    finally:
        time.sleep(0.5)
        shutil.rmtree(scratch, ignore_errors=True)
