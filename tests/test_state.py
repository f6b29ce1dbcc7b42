"""The best epoch of a training, and the buffers that a pass is taken back from."""

import pytest
import torch
from torch import nn

from pipeline_lib.training.state import State, remove, save_micro_batches, saved_micro_batches


def at_epoch(state: State, epoch: int, weight: float) -> State:
    """A state at the end of an epoch, its one weight changed."""
    state.epochs = [{"epoch": number + 1} for number in range(epoch)]
    with torch.no_grad():
        state.network.weight.fill_(weight)
    return state


@pytest.fixture
def state() -> State:
    network = nn.Linear(1, 1, bias=False)
    return State(network, {})


def test_of_equally_good_epochs_the_first_is_the_best(state):
    for epoch, score in enumerate([50.0, 75.0, 75.0, 60.0], 1):
        at_epoch(state, epoch, float(epoch)).keep_if_best(score, state.network)
    assert (state.best["score"], state.best["epoch"]) == (75.0, 2)
    assert state.best["weights"]["weight"].item() == 2.0


def test_an_epoch_without_a_right_answer_is_better_than_none(state):
    at_epoch(state, 1, 1.0).keep_if_best(0.0, state.network)
    assert state.best["epoch"] == 1


def test_the_best_weights_stay_while_training_goes_on(state):
    at_epoch(state, 1, 1.0).keep_if_best(50.0, state.network)
    at_epoch(state, 2, 7.0)
    assert state.best["weights"]["weight"].item() == 1.0


def test_buffers_are_put_back_as_they_were_when_they_were_kept():
    network = nn.BatchNorm1d(2).train()
    state = State(network, {})
    network(torch.rand(4, 2))
    before = {name: value.clone() for name, value in network.named_buffers()}
    put_back = state.statistics()
    network(torch.rand(4, 2))
    assert not torch.equal(network.running_mean, before["running_mean"])
    put_back()
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_a_finished_run_leaves_nothing(state, tmp_path):
    for _ in range(2):
        state.save(tmp_path)
    save_micro_batches(tmp_path, 2)
    save_micro_batches(tmp_path, 16)
    assert saved_micro_batches(tmp_path) == 16
    remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert saved_micro_batches(tmp_path) == 1
    remove(tmp_path)
