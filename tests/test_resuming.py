"""Interrupted trainings: the same bytes after any interruption, and run folders that never mix."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import tiny
from limits import file_size_limit
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.training import update
from pipeline_lib.training.state import State
from training_runs import stopped_once, trained, trained_step_by_step, with_training


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


def test_augmented_training_stopped_at_every_step_ends_with_the_same_bytes(tmp_path, clips, monkeypatch):
    entry = tiny.model_entry(tiny.AT_PGD) | {"training": tiny.TRAINING | {"augmentation": tiny.CROP_AND_FLIP}}
    plain = trained(tmp_path / "plain", tiny.model_entry(tiny.AT_PGD), clips).read_bytes()
    whole = trained(tmp_path / "whole", entry, clips).read_bytes()
    assert whole != plain
    stopped, _ = trained_step_by_step(tmp_path / "stopped", entry, clips, monkeypatch)
    assert stopped.read_bytes() == whole


def test_stopped_at_every_step_it_ends_with_the_same_bytes(tmp_path, clips, monkeypatch):
    entry = tiny.model_entry(tiny.AT_PGD)
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    interrupted, stops = trained_step_by_step(tmp_path / "interrupted", entry, clips, monkeypatch)
    assert stops == 4  # two epochs of two batches
    assert interrupted.read_bytes() == expected


def test_checkpoints_are_saved_after_each_epoch_and_at_intervals(tmp_path, clips, monkeypatch):
    """Epochs of two steps."""
    saved = []
    monkeypatch.setattr(State, "save", lambda state, folder: saved.append(state.step))
    trained(tmp_path / "long", with_training(epochs=3), clips)
    assert saved == [2, 4, 6]
    saved.clear()
    monkeypatch.setattr("pipeline_lib.training.loop.SAVE_EVERY_SECONDS", -1.0)
    trained(tmp_path / "short", with_training(epochs=2), clips)
    assert saved == [1, 2, 3, 4]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import training_runs, tiny, pipeline_lib.training.loop
pipeline_lib.training.loop.SAVE_EVERY_SECONDS = 0.0
entry = tiny.model_entry(tiny.AVERAGE) | {"training": tiny.TRAINING | {"epochs": int(sys.argv[4])}}
training_runs.trained(Path(sys.argv[2]), entry, Path(sys.argv[3]))
"""


def test_killed_training_continues_with_the_same_result(tmp_path, clips):
    """SIGKILL of the real process, somewhere in the middle."""
    epochs = 60
    entry = tiny.model_entry(tiny.AVERAGE) | {"training": tiny.TRAINING | {"epochs": epochs}}
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(Path(__file__).parent),
        str(tmp_path / "killed"),
        str(clips),
        str(epochs),
    ]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("killed/runs/*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("killed/runs/*/checkpoint.pt"))
    assert not (tmp_path / "killed/model.pt").exists()
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    assert trained(tmp_path / "killed", entry, clips).read_bytes() == expected


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_resuming, tiny
from pipeline_lib.training import loop
loop.SAVE_EVERY_SECONDS = 0.0
draws = random.Random(0)
# Functions, and within how many lines that are executed in each the process dies.
PLACES = {
    "step": 5, "BatchUpdate.gradients": 10, "BatchUpdate.descend": 6, "State.save": 20, "State.keep_if_best": 3,
    "scored_batches": 30, "_correct": 20,
}

def die_in(place):
    left = draws.randint(1, PLACES[place])

    def count(frame, event, argument):
        nonlocal left
        left -= event == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    def called(frame, event, argument):
        code = frame.f_code
        return count if code.co_qualname == place and "pipeline_lib/training" in code.co_filename else None

    sys.settrace(called)

for place in 4 * list(PLACES):
    child = os.fork()
    if child == 0:
        die_in(place)
        folder, clips = map(Path, sys.argv[2:])
        test_resuming.trained(folder, test_resuming.LONG, clips, test=clips)
        os._exit(0)
    draws.random()  # so that the next child draws something else
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, place
"""
LONG = tiny.model_entry(tiny.AT_PGD) | {"training": tiny.TRAINING | {"epochs": 40, "select_on": "test"}}


@pytest.mark.slow
def test_killed_anywhere_in_a_step_a_save_and_a_selection_it_ends_with_the_same_bytes(tmp_path, clips):
    folders = [str(Path(__file__).parent), str(tmp_path / "killed"), str(clips)]
    subprocess.run([sys.executable, "-c", KILLED_AGAIN_AND_AGAIN, *folders], check=True)
    (kept,) = tmp_path.glob("killed/runs/*/checkpoint.pt")
    assert 0 < checkpoint.load(kept)["step"] < 80
    expected = trained(tmp_path / "whole", LONG, clips, test=clips).read_bytes()
    assert trained(tmp_path / "killed", LONG, clips, test=clips).read_bytes() == expected


def test_a_finished_run_is_published_again_without_training(tmp_path, clips, monkeypatch):
    entry = tiny.model_entry(tiny.STANDARD)
    weights = trained(tmp_path, entry, clips)
    content = weights.read_bytes()
    weights.unlink()
    monkeypatch.setattr("pipeline_lib.training.job.train", None)
    assert trained(tmp_path, entry, clips).read_bytes() == content


def test_another_entry_never_continues_a_foreign_run(tmp_path, clips):
    other = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"learning_rate": 0.2}}
    trained(tmp_path, tiny.model_entry(tiny.STANDARD), clips)
    trained(tmp_path, other, clips)
    trained(tmp_path, tiny.model_entry(tiny.STANDARD), tiny.write_clips(tmp_path / "other.h5", seed=1))
    assert len(list((tmp_path / "runs").iterdir())) == 3


@pytest.mark.parametrize("fields", [{"precision": "bf16"}, {"accumulate": 3}, {"precision": "tf32"}])
def test_every_setting_resumes_with_the_same_bytes(tmp_path, clips, monkeypatch, fields):
    entry = with_training(tiny.AT_PGD, **fields)
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    interrupted, _ = trained_step_by_step(tmp_path / "cut", entry, clips, monkeypatch)
    assert interrupted.read_bytes() == expected


def test_a_truncated_checkpoint_gives_way_to_the_one_before(tmp_path, clips, monkeypatch, caplog):
    entry = with_training()
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    folder = stopped_once(tmp_path / "cut", entry, clips, monkeypatch, times=2)
    latest = folder / "checkpoint.pt"
    latest.write_bytes(latest.read_bytes()[:1000])
    with caplog.at_level("INFO"):
        assert trained(tmp_path / "cut", entry, clips).read_bytes() == expected
    assert "cannot be used" in caplog.text
    assert "continuing at step 1 " in caplog.text


def test_a_checkpoint_of_another_run_is_ignored_with_a_warning(tmp_path, clips, monkeypatch, caplog):
    entry = with_training()
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    foreign = stopped_once(tmp_path / "other", with_training(learning_rate=0.5), clips, monkeypatch)
    own = stopped_once(tmp_path / "own", entry, clips, monkeypatch)
    (own / "checkpoint.pt").write_bytes((foreign / "checkpoint.pt").read_bytes())
    with caplog.at_level("INFO"):
        assert trained(tmp_path / "own", entry, clips).read_bytes() == expected
    assert f"belongs to another run ({foreign.name})" in caplog.text


@pytest.mark.parametrize("limit", [100, 4000])
@pytest.mark.parametrize(("steps", "name"), [(1, "checkpoint.fresh.pt"), (4, "final.pt")])
def test_no_space_for_a_file_of_the_run_names_it_and_loses_nothing(tmp_path, clips, monkeypatch, steps, name, limit):
    entry = with_training()
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    folder = stopped_once(tmp_path, entry, clips, monkeypatch, times=steps)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(PipelineError, match=f"{folder}/{name}: no space left .*run again"), file_size_limit(limit):
        trained(tmp_path, entry, clips)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert trained(tmp_path, entry, clips).read_bytes() == expected


def test_a_lost_gpu_is_told_and_costs_no_checkpoint(tmp_path, clips, monkeypatch):
    def lost(*args: object) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(update.BatchUpdate, "_called", lost)
    with pytest.raises(PipelineError, match="the GPU failed in step 0; the last checkpoint is kept: run again"):
        trained(tmp_path, with_training(), clips)
