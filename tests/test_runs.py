"""Run folders, atomic results, requests to stop, GPUs of the pool, and what a job tells when it fails."""

import contextlib
import errno
import logging
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import devices
from pipeline_lib.jobs.adapter import job
from pipeline_lib.jobs.devices import gpus_per_job, oversubscription, reserved_gpus
from pipeline_lib.jobs.logs import LOGGER, Progress, logging_to
from pipeline_lib.jobs.runs import atomic_write, publish, run_folder, stop_requests

HOLD = """
import sys
from pathlib import Path
from pipeline_lib.jobs.runs import run_folder
root = Path(sys.argv[1])
with run_folder(root, "key"):
    print("held", flush=True)
    sys.stdin.readline()
    (root / "leaving").touch()
"""


@contextlib.contextmanager
def held_by_another(root: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the run folder until its input has a line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(root)], text=True, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        yield other


def test_two_jobs_never_work_in_one_run_folder(tmp_path, monkeypatch):
    def release(*words: object) -> None:
        other.stdin.write("\n")
        other.stdin.flush()

    with held_by_another(tmp_path) as other:
        monkeypatch.setattr(LOGGER, "warning", release)  # what it says when it has to wait
        with run_folder(tmp_path, "key"):
            assert (tmp_path / "leaving").exists()


def test_a_killed_job_frees_its_run_folder(tmp_path):
    with held_by_another(tmp_path) as other:
        other.kill()
        with run_folder(tmp_path, "key") as folder:
            assert folder.is_dir()
    assert not (tmp_path / "leaving").exists()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "out").write_text("old")
    with pytest.raises(ValueError, match="boom"), atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("new")
        raise ValueError("boom")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "old"


BEGIN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from pipeline_lib.jobs.runs import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_job_had_begun_goes_with_the_next_result(tmp_path):
    for path in tmp_path / "out[1].csv", tmp_path / "other":
        killed = subprocess.run([sys.executable, "-c", BEGIN_AND_DIE, str(path)], timeout=120)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_write(tmp_path / "out[1].csv") as temporary:
        temporary.write_text("whole")
    other, result = sorted(path.name for path in tmp_path.iterdir())
    assert (result, other.startswith(".other.")) == ("out[1].csv", True)


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(PipelineError, match="out: no space left"), atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("part")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), atomic_write(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "denied")


def test_a_published_result_stays_when_the_output_is_deleted(tmp_path):
    (tmp_path / "final").write_text("result")
    publish(tmp_path / "final", tmp_path / "deep/out")
    (tmp_path / "deep/out").unlink()
    assert (tmp_path / "final").read_text() == "result"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_question_not_an_end(number):
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
    assert signal.getsignal(number) == before


def test_gpu_jobs_ask_for_one_gpu_unless_they_run_on_the_cpu(monkeypatch):
    monkeypatch.setattr(devices, "gpu_count", lambda: 0)
    assert [gpus_per_job(device) for device in ("cpu", "cuda", "auto")] == [0, 1, 0]
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    assert [gpus_per_job(device) for device in ("cpu", "cuda", "auto")] == [0, 1, 1]


POOL = """
import os, sys, time
from pipeline_lib.jobs import devices
devices.gpu_count = lambda: 2
wanted, gpu_share = int(sys.argv[1]), int(sys.argv[2])
with devices.reserved_gpus(wanted, gpu_share):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


def test_jobs_never_share_a_gpu_and_free_it_when_killed(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")}
    environment |= {"TMPDIR": str(tmp_path)}

    def start():
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen([sys.executable, "-c", POOL, "1", "1"], env=environment, text=True, **streams)

    first, second = start(), start()
    devices_used = {first.stdout.readline().strip(), second.stdout.readline().strip()}
    assert devices_used == {"0", "1"}
    third = start()
    first.kill()
    assert third.stdout.readline().strip() in devices_used
    for process in (second, third):
        process.kill()


def test_a_device_that_the_user_or_slurm_chose_stays(monkeypatch):
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with reserved_gpus(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"


def pooled(tmp_path: Path, wanted: int, gpu_share: int, **variables: str) -> subprocess.Popen:
    """A job on a machine of two GPUs that says which it got, and holds them until its input ends."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")}
    command = [sys.executable, "-c", POOL, str(wanted), str(gpu_share)]
    environment |= {"TMPDIR": str(tmp_path), **variables}
    return subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_jobs_share_a_gpu_when_the_others_are_taken(tmp_path):
    jobs = [pooled(tmp_path, 1, 2) for _ in range(4)]
    assert sorted(running.stdout.readline().strip() for running in jobs) == ["0", "0", "1", "1"]
    fifth = pooled(tmp_path, 1, 2)
    jobs[0].communicate()
    assert fifth.stdout.readline().strip() in ("0", "1")
    for running in [*jobs, fifth]:
        running.kill()


def test_a_job_of_two_gpus_waits_for_both(tmp_path):
    one = pooled(tmp_path, 1, 1)
    assert one.stdout.readline().strip() == "0"
    both = pooled(tmp_path, 2, 1)
    one.communicate()
    assert both.stdout.readline().strip() == "0,1"
    both.kill()


def test_the_pool_takes_from_the_gpus_that_were_made_visible(tmp_path):
    jobs = [pooled(tmp_path, 1, 1, CUDA_VISIBLE_DEVICES="3,5", SLURM_JOB_ID="7") for _ in range(2)]
    other = pooled(tmp_path, 1, 1, CUDA_VISIBLE_DEVICES="3", SLURM_JOB_ID="8")
    assert sorted(running.stdout.readline().strip() for running in jobs) == ["3", "5"]
    assert other.stdout.readline().strip() == "3"  # another job's GPU 3 is another one
    for running in [*jobs, other]:
        running.kill()


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    expected = pytest.raises(PipelineError, match="4 GPUs are needed, but only 2 are visible here: lower `gpus`")
    with expected, reserved_gpus(4):
        pass


def test_oversubscribed_gpus_are_warned_of(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "gpu=6 may start more GPU jobs than the 2 GPUs here" in oversubscription(6, "cuda", 1)
    assert "no --resources gpu may start more" in oversubscription(None, "auto", 3)
    fitting = [(2, "auto", 1), (6, "cpu", 1), (6, "cuda", 3), (None, "cpu", 1)]
    assert [oversubscription(*given) for given in fitting] == [None] * 4


@pytest.mark.parametrize(
    ("files", "count"),
    [
        (["proc/driver/nvidia/gpus/0000:01:00.0/information", "dev/nvidia0", "dev/nvidia1"], 1),  # hidden ones
        (["dev/nvidia0", "dev/nvidia11", "dev/nvidiactl", "dev/nvidia-uvm"], 2),
        (["dev/dxg", "usr/lib/wsl/lib/libcuda.so.1"], 1),
        (["dev/dxg", "dev/nvidiactl"], 0),
    ],
)
def test_gpus_are_counted_with_and_without_the_drivers_folder(tmp_path, files, count):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert devices.gpu_count(tmp_path) == count


def fake_job(tmp_path: Path) -> SimpleNamespace:
    return SimpleNamespace(
        log=[str(tmp_path / "logs/rule.log")],
        rule="train",
        resources={"gpu": 0},
        config={"gpu_share": 1, "lock_wait": 60},
    )


def test_an_error_of_the_users_is_told_in_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop, job(fake_job(tmp_path)):
        raise PipelineError("video.avi: no frames; replace it")
    assert stop.value.code == 1
    assert "Error in rule train: video.avi: no frames; replace it" in capsys.readouterr().err
    log = (tmp_path / "logs/rule.log").read_text()
    assert "video.avi: no frames" in log
    assert "Traceback" not in log


def test_other_errors_keep_their_traceback_in_the_log(tmp_path, capsys):
    with pytest.raises(SystemExit), job(fake_job(tmp_path)):
        raise KeyError("surprise")
    assert "KeyError: 'surprise' (traceback in" in capsys.readouterr().err
    assert "Traceback" in (tmp_path / "logs/rule.log").read_text()


def test_progress_writes_readable_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline_lib.jobs.logs.LINE_EVERY_SECONDS", 0.0)
    with logging_to(tmp_path / "log"):
        progress = Progress("training", 4, "clips", start=2)
        progress.advance(1, loss=0.5, accuracy=75.0)
        progress.advance(1)
        progress.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert "training: 3/4 clips, loss 0.5, accuracy 75, " in lines[0]
    assert "clips/s, 0 s left" in lines[1]
    assert logging.getLogger("pipeline_lib").handlers == []


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    reader, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    with os.fdopen(terminal, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        progress = Progress("training", 4, "clips", start=1)
        progress.advance(2, loss=0.5, accuracy=75.0)
        progress.bar.refresh()  # tqdm draws at most ten times a second
        progress.close()
    with os.fdopen(reader, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # how a closed terminal ends
        drawn = b""
        while part := screen.read(10_000):
            drawn += part
    lines = drawn.decode().split("\r")
    expected = r"training:  75%\|.+\| 3/4 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ clips/s, loss 0\.5, accuracy 75\]"
    assert any(re.fullmatch(expected, line) for line in lines)
    assert lines[-2].strip() == ""  # the bar leaves nothing behind
