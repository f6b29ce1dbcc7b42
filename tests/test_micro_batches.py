"""Batches in micro-batches: the gradients of the whole batch, and less at once when the memory is too small."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import new_network
from pipeline_lib.training import scoring
from pipeline_lib.training.processes import MicroBatchTooLargeError, Processes
from pipeline_lib.training.schedules import OneCycle
from pipeline_lib.training.state import State
from pipeline_lib.training.task import Task, Training
from pipeline_lib.training.update import BatchUpdate
from test_adaptive_batch_size import OUT_OF_MEMORY
from test_updates import AWP, FREE
from training_runs import CPU, trained, with_training


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


def first_update(network: torch.nn.Module, clips: Path, entry: dict, micro_batches: int) -> tuple[BatchUpdate, State]:
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
    state = State(network, {}, micro_batches=micro_batches)
    rows = task.batch(0)
    return BatchUpdate(state, task, rows, torch.from_numpy(data.read(rows)), lambda: False), state


def gradients(network: torch.nn.Module, clips: Path, entry: dict, micro_batches: int) -> list[torch.Tensor]:
    """Of the first batch, in eval-mode BatchNorms, cut into micro-batches."""
    update, _ = first_update(network, clips, entry, micro_batches)
    update.gradients(update.task.defense.objective)
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


def out_of_memory_above(monkeypatch, clips_at_once: int, error: RuntimeError = OUT_OF_MEMORY[0]) -> list[int]:
    """As on a GPU whose memory holds that many clips: the error comes after the forward pass."""
    sizes, original = [], BatchUpdate._called

    def limited(update, function, here, *given):
        sizes.append(here.stop - here.start)
        outcome = original(update, function, here, *given)
        if sizes[-1] > clips_at_once:
            raise error
        return outcome

    monkeypatch.setattr(BatchUpdate, "_called", limited)
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
    sizes, whole = [], scoring._correct

    def limited(*given):
        micro_batch = given[-1]
        sizes.append(micro_batch.stop - micro_batch.start)
        if sizes[-1] > 1:
            raise OUT_OF_MEMORY[1]
        return whole(*given)

    monkeypatch.setattr(scoring, "_correct", limited)
    found = trained(tmp_path / "limited", entry, clips, test=clips)
    assert sizes == 2 * [4, 2, *10 * [1]]
    assert found.read_bytes() == expected.read_bytes()


def test_out_of_memory_in_one_of_several_processes_is_left_to_all_of_them(clips):
    """The others wait for its part of this pass."""
    data, settings = Clips(clips), Training(epochs=1, batch_size=8, learning_rate=0.0, schedule=OneCycle())
    given = {"defense": None, "clips": data, "rows": np.arange(10), "settings": settings, "seed": 0, "device": CPU}
    state = State(torch.nn.Linear(1, 1), {})
    task, shard = Task(**given, processes=Processes(0, 2)), np.arange(4)
    update = BatchUpdate(state, task, shard, torch.from_numpy(data.read(shard)), lambda: False)

    def too_large(*given):
        raise OUT_OF_MEMORY[0]

    with pytest.raises(MicroBatchTooLargeError, match="in step 0: batches of 8 clips now pass in 2 micro-batches"):
        update.crafted(too_large)
    assert state.micro_batches == 1


def test_out_of_memory_while_crafting_leaves_the_gradients_of_the_step(clips):
    """An update of the user's own may craft between its gradients and its descent."""
    entry = with_training(tiny.STANDARD)
    network, defense = new_network(entry, 2)
    update, state = first_update(network, clips, entry, 1)
    update.gradients(defense.objective)
    before = [parameter.grad.clone() for parameter in network.parameters()]

    def larger_than_two(network, clips, labels, draw):
        if len(clips) > 2:
            raise OUT_OF_MEMORY[0]
        return clips

    assert update.crafted(larger_than_two).shape == update.clips.shape
    assert state.micro_batches == 2
    assert all(torch.equal(one.grad, old) for one, old in zip(network.parameters(), before, strict=True))


def test_out_of_memory_with_a_single_clip(tmp_path, clips, monkeypatch):
    sizes = out_of_memory_above(monkeypatch, 0)
    with pytest.raises(PipelineError, match="out of memory with a single clip"):
        trained(tmp_path, with_training(), clips)
    assert sizes == [4, 2, 1]


@pytest.mark.parametrize(("defense", "passes"), [(AWP, 3), (FREE, 2)], ids=["awp", "free"])
def test_out_of_memory_in_an_own_update_halves_each_of_its_passes(tmp_path, clips, monkeypatch, defense, passes):
    expected = checkpoint.load(trained(tmp_path / "micro_batches", with_training(defense, accumulate=2), clips))
    sizes = out_of_memory_above(monkeypatch, 2)
    found = checkpoint.load(trained(tmp_path / "limited", with_training(defense), clips))
    assert sizes == [4] + [2] * 2 * passes * 4
    assert all(torch.equal(found["state"][name], tensor) for name, tensor in expected["state"].items())
