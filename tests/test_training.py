"""Training: the same bytes after any interruption, run folders that never mix, and errors that say what to do."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.clips.augmentation import CropAndFlip, Unchanged
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import mean_cross_entropy
from pipeline_lib.errors import PipelineError
from pipeline_lib.modeling import load_model, new_network
from pipeline_lib.models import checkpoint
from pipeline_lib.schedules import MultiStep, OneCycle
from pipeline_lib.training import Training, train, train_model

CPU = torch.device("cpu")


def trained(folder: Path, entry: dict, clips: Path, name: str = "model", initial: Path | None = None) -> Path:
    torch.set_num_threads(1)
    weights = folder / f"{name}.pt"
    train_model(
        entry,
        clips=clips,
        initial=initial,
        runs=folder / "runs",
        code="code",
        weights=weights,
        history=folder / f"{name}.csv",
        device=CPU,
    )
    return weights


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


@pytest.mark.parametrize("defense", tiny.DEFENSES)
def test_same_entry_gives_the_same_bytes(tmp_path, clips, defense):
    entry = tiny.model_entry(tiny.DEFENSES[defense])
    first, second = (trained(tmp_path / name, entry, clips) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".csv").read_bytes() == second.with_suffix(".csv").read_bytes()


def test_augmented_training_stopped_at_every_step_ends_with_the_same_bytes(tmp_path, clips, monkeypatch):
    entry = tiny.model_entry(tiny.AT_PGD) | {"training": tiny.TRAINING | {"augmentation": tiny.CROP_AND_FLIP}}
    plain = trained(tmp_path / "plain", tiny.model_entry(tiny.AT_PGD), clips).read_bytes()
    whole = trained(tmp_path / "whole", entry, clips).read_bytes()
    assert whole != plain
    while not (tmp_path / "stopped/model.pt").exists():
        with monkeypatch.context() as patch, contextlib.suppress(SystemExit):
            patch.setattr("pipeline_lib.training.stop_requests", always_asked)
            trained(tmp_path / "stopped", entry, clips)
    assert (tmp_path / "stopped/model.pt").read_bytes() == whole


def test_defenses_get_augmented_clips_each_drawn_by_its_step_and_name(tmp_path, clips):
    seen = []

    class Spy:
        def objective(self, network, videos, labels, draw):
            seen.append(videos)
            return mean_cross_entropy(network(videos), labels)

    data = Clips(clips)
    for augmentation in (CropAndFlip(padding=2), Unchanged()):
        network, _ = new_network(tiny.model_entry(tiny.STANDARD), 2)
        settings = Training(epochs=1, batch_size=5, learning_rate=0.0, schedule=OneCycle(), augmentation=augmentation)
        (tmp_path / type(augmentation).__name__).mkdir()
        train(network, Spy(), data, settings, seed=1, folder=tmp_path / type(augmentation).__name__, device=CPU)
    order = np.random.default_rng([1, 0]).permutation(10)
    for step in (0, 1):
        rows = order[5 * step : 5 * step + 5]
        generators = clip_generators(1, [f"{step}/{data.videos[row]}/augmentation" for row in rows])
        assert torch.equal(seen[2 + step], as_clips(data.read(rows), CPU))
        assert torch.equal(seen[step], CropAndFlip(padding=2)(seen[2 + step], generators))


def test_seed_changes_the_weights(tmp_path, clips):
    a, b = (trained(tmp_path / str(seed), tiny.model_entry(tiny.STANDARD, seed), clips) for seed in (0, 1))
    assert a.read_bytes() != b.read_bytes()


def test_stopped_at_every_step_it_ends_with_the_same_bytes(tmp_path, clips, monkeypatch):
    entry = tiny.model_entry(tiny.AT_PGD)
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    interrupted = tmp_path / "interrupted"
    stops = 0
    while not (interrupted / "model.pt").exists():
        with monkeypatch.context() as patch:
            patch.setattr("pipeline_lib.training.stop_requests", always_asked)
            with contextlib.suppress(SystemExit):
                trained(interrupted, entry, clips)
                continue
            stops += 1
    assert stops == 4  # two epochs of two batches
    assert (interrupted / "model.pt").read_bytes() == expected


class always_asked:  # noqa: N801 - stands in for a context manager function
    def __enter__(self):
        return lambda: True

    def __exit__(self, *error):
        return None


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_training, tiny, pipeline_lib.training
pipeline_lib.training.SAVE_EVERY_SECONDS = 0.0
entry = tiny.model_entry(tiny.AVERAGE) | {"training": tiny.TRAINING | {"epochs": int(sys.argv[4])}}
test_training.trained(Path(sys.argv[2]), entry, Path(sys.argv[3]))
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


def test_a_finished_run_is_published_again_without_training(tmp_path, clips, monkeypatch):
    entry = tiny.model_entry(tiny.STANDARD)
    weights = trained(tmp_path, entry, clips)
    content = weights.read_bytes()
    weights.unlink()
    monkeypatch.setattr("pipeline_lib.training.train", None)
    assert trained(tmp_path, entry, clips).read_bytes() == content


def test_another_entry_never_continues_a_foreign_run(tmp_path, clips):
    other = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"learning_rate": 0.2}}
    trained(tmp_path, tiny.model_entry(tiny.STANDARD), clips)
    trained(tmp_path, other, clips)
    trained(tmp_path, tiny.model_entry(tiny.STANDARD), tiny.write_clips(tmp_path / "other.h5", seed=1))
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_fine_tuning_starts_from_the_other_model(tmp_path, clips):
    start = trained(tmp_path, tiny.model_entry(tiny.STANDARD), clips, "start")
    frozen = tiny.model_entry(tiny.MULTIBN) | {"training": tiny.TRAINING | {"learning_rate": 0.0}}
    tuned = load_model(trained(tmp_path, frozen, clips, "tuned", initial=start), CPU).network
    origin = load_model(start, CPU).network
    for branch in range(3):
        assert torch.equal(tuned.bn1.branches[branch].weight, origin.bn1.weight)
    assert torch.equal(tuned.conv1.weight, origin.conv1.weight)


def test_history_has_a_row_for_each_epoch(tmp_path, clips):
    rows = list(csv.DictReader(trained(tmp_path, tiny.model_entry(tiny.STANDARD), clips).with_suffix(".csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["accuracy"]) <= 100 for row in rows)


def test_the_number_of_parameters_is_written_to_the_checkpoint_and_the_history(tmp_path, clips):
    weights = trained(tmp_path, tiny.model_entry(tiny.MULTIBN), clips)
    rows = list(csv.DictReader(weights.with_suffix(".csv").open()))
    count = sum(p.numel() for p in load_model(weights, CPU).network.parameters())
    assert checkpoint.load(weights)["parameters"] == count
    assert [row["parameters"] for row in rows] == [str(count)] * 2


def test_training_learns_an_easy_task(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"epochs": 10}}
    rows = list(csv.DictReader(trained(tmp_path, entry, clips).with_suffix(".csv").open()))
    assert float(rows[-1]["accuracy"]) == 100


def test_more_clips_in_a_batch_than_there_are(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"batch_size": 64}}
    with pytest.raises(PipelineError, match="batch_size is 64, but there are only 10 clips"):
        trained(tmp_path, entry, clips)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD) | {"training": tiny.TRAINING | {"learning_rate": 1e30, "epochs": 9}}
    with pytest.raises(PipelineError, match=r"training loss is (nan|inf) in epoch \d, step \d"):
        trained(tmp_path, entry, clips)
    assert not (tmp_path / "model.pt").exists()


def test_weights_that_do_not_fit_their_entry(tmp_path):
    network, _ = new_network(tiny.model_entry(tiny.STANDARD), 2)
    wrong = tiny.model_entry(tiny.STANDARD) | {"network": tiny.NETWORK | {"width": 8}}
    checkpoint.save(tmp_path / "model.pt", network, entry=wrong, classes=["a", "b"])
    with pytest.raises(PipelineError, match=r"model\.pt: the weights do not fit"):
        load_model(tmp_path / "model.pt", CPU)


def test_schedules():
    one_cycle = OneCycle(warm_up=0.5)
    assert [round(one_cycle(epoch, 4), 6) for epoch in (0, 1, 2, 3, 4)] == [0, 0.5, 1, 0.5, 0]
    multi_step = MultiStep(milestones=[7], factor=0.1)
    assert [multi_step(epoch, 15) for epoch in (0, 6.9, 7)] == [1, 1, 0.1]
