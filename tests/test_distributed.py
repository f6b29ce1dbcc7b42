"""Several processes (gloo) that train one network: what one process computes, and an end when one of them dies."""

import atexit
import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.clips.loader import batch_of
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.training import job
from pipeline_lib.training.processes import Processes
from pipeline_lib.training.update import BatchUpdate
from pipeline_lib.training.workers import EXCHANGE_TIMEOUT, run_in_processes
from test_updates import AWP, FREE, averaged
from training_runs import always_asked, trained

SLOW_TRAINING = {"training": tiny.TRAINING | {"epochs": 200}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


def losses(weights: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader(weights.with_suffix(".csv").open())]


def scores(weights: Path) -> list[str]:
    return [row.get("selection_accuracy", "") for row in csv.DictReader(weights.with_suffix(".csv").open())]


def test_shares_are_all_rows_in_order():
    rows = np.array([5, 3, 9, 1, 7])
    assert [Processes(rank, 2).shard(rows).tolist() for rank in (0, 1)] == [[5, 3, 9], [1, 7]]
    assert Processes().shard(rows).tolist() == rows.tolist()


MULTIBN = tiny.MULTIBN | {
    "method": "pipeline_lib.defenses.multibn:MultiBN",
    "branches": {"clean": [], "lp": [tiny.PGD]},
    "selector": tiny.NETWORK,
}
# By defense: settings, and how far the losses may be apart.
CASES = {
    "at_pgd": (tiny.AT_PGD, {"select_on": "test"}, 1e-3),
    "average": (tiny.AVERAGE, {"precision": "bf16"}, 3e-2),
    "multibn_manual": (tiny.MULTIBN, {}, 1e-3),
    "multibn": (MULTIBN, {"select_on": "held_out", "accumulate": 2}, 1e-3),
    "awp": (averaged(AWP), {}, 1e-3),
    "free": (FREE, {"accumulate": 2}, 1e-3),
}


@pytest.mark.parametrize(
    "case",
    [
        "at_pgd",
        "multibn",
        *(pytest.param(case, marks=pytest.mark.slow) for case in ("average", "multibn_manual", "awp", "free")),
    ],
)
def test_two_processes_train_as_one_does_on_the_same_batches(tmp_path, clips, case):
    defense, settings, apart = CASES[case]
    entry = tiny.model_entry(defense) | {"training": tiny.TRAINING | settings}
    # The last batch of a selection on five clips has one for one of the processes.
    test = tiny.write_clips(tmp_path / "test.h5", count=5, seed=5) if "test" in settings.values() else None
    one = trained(tmp_path / "one", entry, clips, test=test)
    two = trained(tmp_path / "two", entry, clips, test=test, processes=2)
    assert losses(two) == pytest.approx(losses(one), rel=apart)
    assert scores(two) == scores(one)
    expected, state = checkpoint.load(one)["state"], checkpoint.load(two)["state"]
    for name, tensor in expected.items():
        near = {"rtol": 10 * apart, "atol": 2 * apart}
        torch.testing.assert_close(state[name], tensor, **near, msg=lambda text, n=name: f"{n}: {text}")


def stop_at_the_first_step(**given) -> None:
    job.stop_requests = always_asked
    job.fit_as_one_of_several(**given)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_a_stopped_training_goes_on_with_another_number_of_processes(tmp_path, clips, monkeypatch, first, second):
    entry = tiny.model_entry(tiny.AT_PGD) | {"training": tiny.TRAINING | {"select_on": "held_out", "epochs": 3}}
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        if first == 1:
            patch.setattr(job, "stop_requests", always_asked)
        else:
            target = f"{__name__}:stop_at_the_first_step"
            patch.setattr(job, "run_in_processes", lambda _, *given, **more: run_in_processes(target, *given, **more))
        trained(tmp_path, entry, clips, processes=first)
    assert checkpoint.load(next(tmp_path.glob("runs/*/checkpoint.pt")))["step"] == 1
    resumed, whole = trained(tmp_path, entry, clips, processes=second), trained(tmp_path / "whole", entry, clips)
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-3)
    assert scores(resumed) == scores(whole)


@pytest.mark.slow
def test_a_batch_that_two_processes_cannot_share_evenly(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"batch_size": 5}}
    one, two = (trained(tmp_path / str(n), entry, clips, processes=n) for n in (1, 2))
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)


@pytest.mark.slow
def test_fewer_clips_than_processes(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"batch_size": 2, "accumulate": 2}}
    with pytest.raises(PipelineError, match="batch_size is 2: too few for accumulate 2 on 2 GPUs"):
        trained(tmp_path, entry, clips, processes=2)


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def when_training(folder: Path, act) -> threading.Thread:
    """Calls `act` with the process ids of the workers as soon as there is a checkpoint."""

    def watch() -> None:
        deadline = time.monotonic() + 180
        while not list(folder.glob("runs/*/checkpoint.pt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        act(children())

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_killed_process_ends_the_job_with_a_clear_error_and_training_goes_on_with_any_number(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD) | SLOW_TRAINING
    killed = []

    def kill(workers: list[int]) -> None:
        os.kill(workers[-1], signal.SIGKILL)
        killed.append(time.monotonic())

    thread = when_training(tmp_path, kill)
    with pytest.raises(PipelineError, match=r"process \d of the 2 that train together was killed by signal 9"):
        trained(tmp_path, entry, clips, processes=2)
    thread.join()
    assert time.monotonic() - killed[0] < 10
    assert children() == []
    saved = checkpoint.load(next(tmp_path.glob("runs/*/checkpoint.pt")))
    assert 0 < saved["step"] < 400
    resumed = trained(tmp_path, entry, clips)
    assert [int(row["epoch"]) for row in csv.DictReader(resumed.with_suffix(".csv").open())] == list(range(1, 201))


def test_a_clip_that_is_damaged_for_one_process_is_named_and_the_other_is_ended(tmp_path):
    """The other one waits for gradients."""
    path = tiny.write_clips(tmp_path / "train.h5")
    row = batch_of(0, steps_per_epoch=2, count=10, size=4, seed=0)[-1]
    data, content = Clips(path), bytearray(path.read_bytes())
    content[content.index(data.read([row]).tobytes())] ^= 1
    path.write_bytes(content)
    began = time.monotonic()
    with pytest.raises(PipelineError, match=rf"train\.h5: the clip of {data.videos[row]} is damaged"):
        trained(tmp_path, tiny.model_entry(tiny.STANDARD), path, processes=2)
    assert time.monotonic() - began < EXCHANGE_TIMEOUT.total_seconds() / 2
    assert children() == []


def fail_in_the_second(processes: Processes, device: torch.device) -> None:
    if processes.rank == 1:
        raise KeyError("surprise")
    processes.summed([1.0])


def test_an_error_is_told_before_those_that_it_causes(caplog):
    with pytest.raises(PipelineError, match=r"process 2 of the 2 that train together failed: .*KeyError: 'surprise'"):
        run_in_processes(f"{__name__}:fail_in_the_second", {}, count=2, device=torch.device("cpu"), stop=lambda: False)
    assert "in fail_in_the_second" in caplog.text
    assert children() == []


def abort_at_the_end_of_the_interpreter(processes: Processes, device: torch.device) -> None:
    """As gloo's threads do now and then."""
    atexit.register(os.abort)
    processes.summed([1.0])


def test_a_process_that_has_finished_does_not_fail_at_its_end():
    target = f"{__name__}:abort_at_the_end_of_the_interpreter"
    run_in_processes(target, {}, count=2, device=torch.device("cpu"), stop=lambda: False)


def abort(processes: Processes, device: torch.device) -> None:
    os.abort()


def test_the_place_where_a_process_was_aborted_is_in_the_log(caplog):
    with pytest.raises(PipelineError, match="was killed by signal 6"):
        run_in_processes(f"{__name__}:abort", {}, count=2, device=torch.device("cpu"), stop=lambda: False)
    assert "in abort" in caplog.text


def fit_with_little_memory(**given) -> None:
    """As on two GPUs of which one has memory for a single clip, from the third step on."""
    whole = BatchUpdate._called

    def limited(update, function, here, *more):
        if update.state.step >= 2 and update.task.processes.rank == 1 and here.stop - here.start > 1:
            raise torch.OutOfMemoryError("simulated")
        return whole(update, function, here, *more)

    BatchUpdate._called = limited
    job.fit_as_one_of_several(**given)


@pytest.mark.slow
def test_out_of_memory_in_one_process_lets_all_go_on_with_smaller_micro_batches(tmp_path, clips, monkeypatch, caplog):
    entry = tiny.model_entry(tiny.STANDARD)
    starts = []

    def run(target: str, *given, **more) -> None:
        starts.append(target)
        run_in_processes(f"{__name__}:fit_with_little_memory", *given, **more)

    monkeypatch.setattr(job, "run_in_processes", run)
    found = checkpoint.load(trained(tmp_path, entry, clips, processes=2))
    assert len(starts) == 2
    assert found["run"]["micro_batches"] == 2
    # An epoch of two steps in one micro-batch, and one of two steps in two.
    assert int(found["state"]["bn1.num_batches_tracked"]) == 2 + 4
    assert "out of memory in step 2: batches of 4 clips now pass in 2 micro-batches" in caplog.text
    assert [path.name for path in (tmp_path / "runs").glob("*/micro_batches*")] == []


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import training_runs, tiny
entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"epochs": 2000}}
training_runs.trained(Path(sys.argv[2]), entry, Path(sys.argv[3]), processes=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_parent(tmp_path, clips, number):
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(Path(__file__).parent), str(tmp_path), str(clips)])
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob("runs/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) == 2
    process.send_signal(number)
    assert process.wait(30) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(is_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(worker) for worker in workers)


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_job_that_is_asked_to_stop_before_its_processes_have_begun(tmp_path, clips):
    with pytest.raises(SystemExit) as stopped:
        run_in_processes("no_such_module:f", {}, count=2, device=torch.device("cpu"), stop=lambda: True)
    assert stopped.value.code == 143
    assert children() == []
