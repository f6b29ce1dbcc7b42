"""Training: the same bytes after any interruption, run folders that never mix, and errors that say what to do."""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from limits import file_size_limit
from pipeline_lib.clips.augmentation import CropAndFlip, Unchanged
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import mean_cross_entropy
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model, new_network
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training import selection
from pipeline_lib.training import step as training
from pipeline_lib.training.job import train_model
from pipeline_lib.training.loop import train
from pipeline_lib.training.schedules import MultiStep, OneCycle
from pipeline_lib.training.selection import split_rows
from pipeline_lib.training.state import State
from pipeline_lib.training.task import Task, Training
from test_adaptive_batch_size import OUT_OF_MEMORY

CPU = torch.device("cpu")


def trained(
    folder: Path, entry: dict, clips: Path, name: str = "model", initial: Path | None = None, **more: object
) -> Path:
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
        **more,
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
            patch.setattr("pipeline_lib.training.job.stop_requests", always_asked)
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
        folder = tmp_path / type(augmentation).__name__
        folder.mkdir()
        task = Task(defense=Spy(), clips=data, rows=np.arange(10), settings=settings, seed=1, device=CPU)
        train(network, task, folder=folder)
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
    interrupted, stops = trained_step_by_step(tmp_path / "interrupted", entry, clips, monkeypatch)
    assert stops == 4  # two epochs of two batches
    assert interrupted.read_bytes() == expected


def trained_step_by_step(
    folder: Path, entry: dict, clips: Path, monkeypatch: pytest.MonkeyPatch, **more: Path
) -> tuple[Path, int]:
    """The weights of a training that is asked to stop after every step, and how many times it was."""
    stops = 0
    while not (folder / "model.pt").exists():
        with monkeypatch.context() as patch:
            patch.setattr("pipeline_lib.training.job.stop_requests", always_asked)
            with contextlib.suppress(SystemExit):
                trained(folder, entry, clips, **more)
                continue
            stops += 1
            assert stops < 100, "nothing is kept"
    return folder / "model.pt", stops


class always_asked:  # noqa: N801 - stands in for a context manager function
    def __enter__(self):
        return lambda: True

    def __exit__(self, *error):
        return None


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_training, tiny, pipeline_lib.training.loop
pipeline_lib.training.loop.SAVE_EVERY_SECONDS = 0.0
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


KILLED_AGAIN_AND_AGAIN = """
import os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_training, tiny
from pipeline_lib.training import loop
loop.SAVE_EVERY_SECONDS = 0.0
draws = random.Random(0)
# Functions, and within how many lines that are executed in each the process dies.
PLACES = {
    "step": 30, "MomentumDescent.step": 20, "State.save": 20, "State.keep_if_best": 3, "scored_batches": 30,
    "_correct": 20,
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
        test_training.trained(folder, test_training.LONG, clips, test=clips)
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


def test_gradients_that_are_not_finite_move_nothing(tmp_path, clips, monkeypatch):
    sound = training._gradients

    def broken(state, *rest):
        figures = sound(state, *rest)
        if state.step == 3:  # in the second epoch
            next(state.network.parameters()).grad.fill_(torch.nan)
        return figures

    monkeypatch.setattr(training, "_gradients", broken)
    with pytest.raises(PipelineError, match="gradients are not finite in epoch 2, step 3"):
        trained(tmp_path, tiny.model_entry(tiny.STANDARD), clips)
    (kept,) = (tmp_path / "runs").glob("*/checkpoint.pt")
    assert all(tensor.isfinite().all() for tensor in checkpoint.load(kept)["state"].values())


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


def history(weights: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(weights.with_suffix(".csv").open()))


def with_training(defense: dict = tiny.STANDARD, **fields: object) -> dict:
    return tiny.model_entry(defense) | {"training": tiny.TRAINING | fields}


def gradients(network: torch.nn.Module, clips: Path, entry: dict, micro_batches: int) -> list[torch.Tensor]:
    """Of the first batch, in eval-mode BatchNorms, cut into micro-batches."""
    data = Clips(clips)
    _, defense = new_network(entry, 2)
    task = Task(
        defense=defense,
        clips=data,
        rows=np.arange(len(data)),
        settings=build(entry["training"] | {"method": "pipeline_lib.training.task:Training"}),
        seed=0,
        device=CPU,
    )
    state = State(network, torch.optim.SGD(network.parameters(), lr=0.1), micro_batches=micro_batches)
    rows = task.batch(0)
    training._gradients(state, task, rows, torch.from_numpy(data.read(rows)))
    return [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("defense", ["at_pgd", "average"])
def test_accumulated_gradients_are_those_of_the_whole_batch(clips, defense):
    """Where no BatchNorm sees the micro-batches: in train mode its statistics are those of each micro-batch."""
    entry = with_training(tiny.DEFENSES[defense])
    network, _ = new_network(entry, 2)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm3d):
            part.train = lambda mode=True, part=part: part
            part.training = False
    whole, halves, uneven = (gradients(network, clips, entry, micro_batches) for micro_batches in (1, 2, 3))
    for expected, a, b in zip(whole, halves, uneven, strict=True):
        torch.testing.assert_close(a, expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(b, expected, rtol=1e-4, atol=1e-6)


def test_accumulation_changes_what_batchnorm_sees_and_nothing_is_lost(tmp_path, clips):
    one, two = (trained(tmp_path / str(n), with_training(accumulate=n), clips) for n in (1, 2))
    states = [checkpoint.load(path)["state"] for path in (one, two)]
    assert [int(state["bn1.num_batches_tracked"]) for state in states] == [4, 8]


@pytest.mark.parametrize("fields", [{"precision": "bf16"}, {"accumulate": 3}, {"precision": "tf32"}])
def test_every_setting_resumes_with_the_same_bytes(tmp_path, clips, monkeypatch, fields):
    entry = with_training(tiny.AT_PGD, **fields)
    expected = trained(tmp_path / "whole", entry, clips).read_bytes()
    interrupted, _ = trained_step_by_step(tmp_path / "cut", entry, clips, monkeypatch)
    assert interrupted.read_bytes() == expected


@pytest.mark.parametrize("defense", ["standard", "at_pgd", "multibn"])
def test_bf16_trains_and_keeps_its_weights_in_fp32(tmp_path, clips, defense):
    entry = with_training(tiny.DEFENSES[defense], precision="bf16", epochs=10)
    weights = trained(tmp_path, entry, clips)
    assert float(history(weights)[-1]["accuracy"]) > 90
    state = checkpoint.load(weights)["state"]
    assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {torch.float32}
    exact = trained(tmp_path / "fp32", with_training(tiny.DEFENSES[defense], epochs=10), clips)
    assert weights.read_bytes() != exact.read_bytes()


def test_a_run_states_what_its_numbers_depend_on(tmp_path, clips):
    weights = trained(tmp_path, with_training(precision="bf16", accumulate=2), clips)
    run = checkpoint.load(weights)["run"]
    assert (run["device"], run["precision"], run["micro_batches"], run["seed"]) == ("cpu", "bf16", 2, 0)
    assert (
        "micro_batches 2; precision bf16; processes 1; seed 0; select_on last; tf32 False; torch"
        in history(weights)[0]["run"]
    )


def out_of_memory_above(monkeypatch, clips_at_once: int, error: RuntimeError = OUT_OF_MEMORY[0]) -> list[int]:
    """As on a GPU whose memory holds that many clips: the error comes after the forward pass."""
    sizes, original = [], training._outcome

    def limited(state, task, rows, frames):
        sizes.append(len(rows))
        outcome = original(state, task, rows, frames)
        if len(rows) > clips_at_once:
            raise error
        return outcome

    monkeypatch.setattr(training, "_outcome", limited)
    return sizes


@pytest.mark.parametrize("error", OUT_OF_MEMORY[:3], ids=str)
def test_out_of_memory_halves_what_passes_at_once_from_then_on(tmp_path, clips, monkeypatch, caplog, error):
    expected = checkpoint.load(trained(tmp_path / "micro_batches", with_training(tiny.AT_PGD, accumulate=2), clips))
    sizes = out_of_memory_above(monkeypatch, 2, error)
    weights = trained(tmp_path / "limited", with_training(tiny.AT_PGD), clips)
    assert sizes == [4] + [2] * 8
    found = checkpoint.load(weights)
    assert found["run"]["micro_batches"] == 2
    assert all(torch.equal(found["state"][name], tensor) for name, tensor in expected["state"].items())
    assert "batches of 4 clips now pass in 2 micro-batches" in caplog.text


def test_out_of_memory_halves_what_is_scored_at_once_and_not_the_parts_of_a_step(tmp_path, clips, monkeypatch):
    entry = with_training(select_on="test")
    expected = trained(tmp_path / "whole", entry, clips, test=clips)
    sizes, whole = [], selection._correct

    def limited(*given):
        micro_batch = given[-1]
        sizes.append(micro_batch.stop - micro_batch.start)
        if sizes[-1] > 1:
            raise OUT_OF_MEMORY[1]
        return whole(*given)

    monkeypatch.setattr(selection, "_correct", limited)
    found = trained(tmp_path / "limited", entry, clips, test=clips)
    assert sizes == 2 * [4, 2, *10 * [1]]
    assert found.read_bytes() == expected.read_bytes()


def test_out_of_memory_with_a_single_clip(tmp_path, clips, monkeypatch):
    sizes = out_of_memory_above(monkeypatch, 0)
    with pytest.raises(PipelineError, match="out of memory with a single clip"):
        trained(tmp_path, with_training(), clips)
    assert sizes == [4, 2, 1]


def stopped_once(tmp_path: Path, entry: dict, clips: Path, monkeypatch, times: int = 1, **more: Path) -> Path:
    """The run folder of a training that was stopped after each of `times` steps or batches of a selection."""
    for _ in range(times):
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr("pipeline_lib.training.job.stop_requests", always_asked)
            trained(tmp_path, entry, clips, **more)
    return next((tmp_path / "runs").iterdir())


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

    monkeypatch.setattr(training, "_outcome", lost)
    with pytest.raises(PipelineError, match="the GPU failed in step 0; the last checkpoint is kept: run again"):
        trained(tmp_path, with_training(), clips)


@pytest.mark.parametrize("select_on", ["held_out", "test"])
@pytest.mark.parametrize("defense", ["standard", "at_pgd", "multibn", "trades"])
def test_the_epoch_most_accurate_on_other_clips_is_the_model(tmp_path, clips, select_on, defense):
    entry = with_training(tiny.DEFENSES[defense], select_on=select_on, epochs=4, held_out=0.2)
    other = {"test": tiny.write_clips(tmp_path / "test.h5", seed=5)} if select_on == "test" else {}
    weights = trained(tmp_path / "a", entry, clips, **other)
    assert trained(tmp_path / "b", entry, clips, **other).read_bytes() == weights.read_bytes()
    scores = [float(row["selection_accuracy"]) for row in history(weights)]
    content = checkpoint.load(weights)
    assert content["run"]["epoch"] == 1 + scores.index(max(scores))


def test_by_default_the_epoch_is_selected_on_held_out_training_clips(tmp_path, clips):
    entry = with_training(epochs=4)
    del entry["training"]["select_on"]
    assert checkpoint.load(trained(tmp_path, entry, clips))["run"]["select_on"] == "held_out"


@pytest.mark.parametrize("defense", ["standard", "multibn"])
def test_stopped_at_every_step_and_batch_of_a_selection_it_ends_with_the_same_bytes(
    tmp_path, clips, monkeypatch, defense
):
    entry = with_training(tiny.DEFENSES[defense], select_on="test", epochs=3)
    test = tiny.write_clips(tmp_path / "test.h5", seed=5)
    expected = trained(tmp_path / "whole", entry, clips, test=test)
    interrupted, stops = trained_step_by_step(tmp_path / "cut", entry, clips, monkeypatch, test=test)
    assert stops == 3 * (2 + 3)  # epochs of two steps, scored in three batches
    assert interrupted.read_bytes() == expected.read_bytes()
    assert history(interrupted) == history(expected)


def test_a_checkpoint_between_two_batches_of_a_selection_holds_what_is_counted(tmp_path, clips, monkeypatch):
    entry = with_training(select_on="test")
    folder = stopped_once(tmp_path, entry, clips, monkeypatch, times=4, test=clips)
    rows, correct, count = checkpoint.load(folder / "checkpoint.pt")["scored"]
    assert (rows, count) == (8, 8)
    assert 0 <= correct <= 8


def test_held_out_clips_are_the_last_of_each_class_and_not_trained_on(clips):
    data = Clips(clips)
    rows, held = split_rows(data, 0.3)
    assert sorted([*rows, *held]) == list(range(10))
    assert [data.videos[row] for row in held] == [
        "Left/v_06.avi",
        "Right/v_07.avi",
        "Left/v_08.avi",
        "Right/v_09.avi",
    ]


@pytest.mark.parametrize(
    ("fields", "message"), [({"accumulate": 0}, "accumulate is 0"), ({"held_out": 1.0}, "held_out")]
)
def test_settings_out_of_range(tmp_path, clips, fields, message):
    with pytest.raises(PipelineError, match=message):
        trained(tmp_path, with_training(**fields), clips)


def test_the_log_tells_the_share_of_time_that_waited_for_data(tmp_path, clips, caplog):
    with caplog.at_level("INFO"):
        trained(tmp_path, with_training(), clips)
    assert re.search(r"waited for data: \d+\.\d\d s, \d+\.\d\d % of the time", caplog.text)


def test_a_compiled_network_trains_as_the_plain_one(tmp_path, clips, monkeypatch):
    compiled = []
    plain = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda network: (compiled.append(network), plain(network, backend="eager"))
    )
    expected = trained(tmp_path / "plain", with_training(tiny.AT_PGD), clips)
    found = trained(tmp_path / "compiled", with_training(tiny.AT_PGD, compile=True), clips)
    assert len(compiled) == 1
    states = [checkpoint.load(path)["state"] for path in (expected, found)]
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
