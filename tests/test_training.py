"""Training: the same bytes from the same entry, what is published, and errors that say what to do."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.clips.augmentation import CropAndFlip, Unchanged
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import mean_cross_entropy
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model, new_network
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.loop import train
from pipeline_lib.training.schedules import MultiStep, OneCycle
from pipeline_lib.training.task import Task, Training
from pipeline_lib.training.update import BatchUpdate
from stores import flip
from training_runs import CPU, history, trained, with_training


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


@pytest.mark.parametrize("defense", tiny.DEFENSES)
def test_same_entry_gives_the_same_bytes(tmp_path, clips, defense):
    entry = tiny.model_entry(tiny.DEFENSES[defense])
    first, second = (trained(tmp_path / name, entry, clips) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".csv").read_bytes() == second.with_suffix(".csv").read_bytes()


def test_one_deletion_repairs_a_damaged_model_whose_run_folder_shares_its_bytes(tmp_path, clips, caplog):
    entry = tiny.model_entry(tiny.STANDARD)
    weights = trained(tmp_path, entry, clips)
    whole = weights.read_bytes()
    (final,) = tmp_path.glob("runs/*/final.pt")
    assert final.samefile(weights)
    flip(weights, whole.index(b"data.pkl") + 200)
    with pytest.raises(PipelineError, match=rf"{weights}: .* is damaged. Delete it, and run again"):
        load_model(weights, CPU)
    weights.unlink()
    assert trained(tmp_path, entry, clips).read_bytes() == whole
    assert f"it is trained again: {final}: " in caplog.text


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


def test_a_model_holds_its_weights_classes_entry_and_figures(tmp_path, clips):
    entry = tiny.model_entry(tiny.STANDARD)
    content = checkpoint.load(trained(tmp_path, entry, clips))
    assert content.keys() == {"state", "classes", "entry", "epochs", "parameters", "run"}
    assert content["classes"] == tiny.CLASSES
    assert content["entry"] == entry


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
    sound = BatchUpdate._accumulated

    def broken(update, *rest):
        figures = sound(update, *rest)
        if update.state.step == 3:  # in the second epoch
            next(update.network.parameters()).grad.fill_(torch.nan)
        return figures

    monkeypatch.setattr(BatchUpdate, "_accumulated", broken)
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
    entry = with_training(precision="bf16", accumulate=2)
    weights = trained(tmp_path, entry, clips)
    run = checkpoint.load(weights)["run"]
    assert (run["compiled"], run["epoch"]) == (False, entry["training"]["epochs"])
    assert (run["device"], run["precision"], run["micro_batches"], run["seed"]) == ("cpu", "bf16", 2, 0)
    assert (
        "micro_batches 2; precision bf16; processes 1; seed 0; select_on last; tf32 False; torch"
        in history(weights)[0]["run"]
    )


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
    assert compiled == []
    found = trained(tmp_path / "compiled", with_training(tiny.AT_PGD, compile=True), clips)
    assert len(compiled) == 1
    states = [checkpoint.load(path)["state"] for path in (expected, found)]
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
