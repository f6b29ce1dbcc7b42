"""What stays while a training runs: its number of steps, the rows of each, and how far a batch may be cut."""

import numpy as np
import pytest
import torch

from pipeline_lib.training.loop import _initial_state
from pipeline_lib.training.processes import Processes
from pipeline_lib.training.schedules import OneCycle
from pipeline_lib.training.state import save_micro_batches
from pipeline_lib.training.task import Task, Training


def task(rows: list[int], batch_size: int, seed: int = 0, processes: Processes = Processes()) -> Task:  # noqa: B008
    settings = Training(epochs=3, batch_size=batch_size, learning_rate=0.1, schedule=OneCycle())
    given = {"defense": None, "clips": None, "device": torch.device("cpu"), "processes": processes}
    return Task(rows=np.array(rows), settings=settings, seed=seed, **given)


def test_an_epoch_is_whole_batches_of_rows_that_come_once():
    rows = [3, 5, 6, 8, 9, 20, 21]
    made = task(rows, 3)
    assert (made.steps_per_epoch, made.steps) == (2, 6)
    epochs = [np.concatenate([made.batch(2 * epoch + step) for step in (0, 1)]).tolist() for epoch in range(3)]
    assert all(len(set(epoch)) == 6 and set(epoch) < set(rows) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [task(rows, 3, seed=1).batch(step).tolist() for step in (0, 1)] != [epochs[0][:3], epochs[0][3:]]


@pytest.mark.parametrize(
    ("batch_size", "count", "expected"), [(8, 1, [2, 4, 8, 8]), (6, 1, [2, 4, 6, 6]), (5, 2, [2, 2, 2, 2])]
)
def test_micro_batches_double_until_each_process_has_one_clip_in_each(batch_size, count, expected):
    made, found, cut = task([0] * batch_size, batch_size, processes=Processes(0, count)), [], 1
    for _ in expected:
        cut = made.more_micro_batches(cut)
        found.append(cut)
    assert found == expected
    assert all(isinstance(number, int) for number in found)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 1)])
def test_restarted_processes_continue_with_the_saved_number_of_micro_batches(tmp_path, count, expected):
    """At most one for each clip of a process: a batch of five is two clips for one of two, and one for one of three."""
    save_micro_batches(tmp_path, 4)
    made = task([0] * 5, 5, processes=Processes(0, count))
    found = _initial_state(torch.nn.Linear(1, 1), made, tmp_path).micro_batches
    assert (found, type(found)) == (expected, int)
