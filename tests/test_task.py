"""What stays while a training runs: its number of steps, the rows of each, and how far a batch may be cut."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.synchronized import SynchronizedBatchNorm
from pipeline_lib.training import job
from pipeline_lib.training.job import _prepared
from pipeline_lib.training.loop import _check_batch, _initial_state
from pipeline_lib.training.processes import Processes
from pipeline_lib.training.schedules import OneCycle
from pipeline_lib.training.state import save_micro_batches
from pipeline_lib.training.task import Task, Training


def task(
    rows: list[int],
    batch_size: int,
    seed: int = 0,
    processes: Processes = Processes(),  # noqa: B008
    accumulate: int = 1,
) -> Task:
    fields = {"batch_size": batch_size, "accumulate": accumulate}
    settings = Training(epochs=3, learning_rate=0.1, schedule=OneCycle(), **fields)
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


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "count", "fits"),
    [(4, 4, 1, True), (3, 4, 1, False), (6, 3, 2, True), (5, 3, 2, False), (2, 1, 2, True), (1, 1, 2, False)],
)
def test_a_batch_has_a_clip_for_each_micro_batch_of_each_process(batch_size, accumulate, count, fits):
    made = task([0] * 10, batch_size, processes=Processes(0, count), accumulate=accumulate)
    message = f"batch_size is {batch_size}: too few for accumulate {accumulate} on {count} GPUs"
    with nullcontext() if fits else pytest.raises(PipelineError, match=message):
        _check_batch(made)


@pytest.mark.parametrize(("count", "kind"), [(1, nn.BatchNorm3d), (2, SynchronizedBatchNorm)])
def test_only_several_processes_exchange_the_statistics_of_batches(count, kind):
    network = _prepared(nn.Sequential(nn.BatchNorm3d(2)), task([0], 1).settings, Processes(0, count))
    assert type(network[0]) is kind


def test_several_processes_receive_what_the_job_was_given(monkeypatch):
    found = []

    def one(target, call, *, count, device, stop):
        assert target == f"{job.__name__}:fit_as_one_of_several"
        job.fit_as_one_of_several(**json.loads(json.dumps(call)), device=device, processes=Processes(1, count))

    monkeypatch.setattr(job, "run_in_processes", one)
    monkeypatch.setattr(job, "fit", lambda *given, **more: found.append((*given, more)))
    inputs = job.Inputs(clips=Path("a.h5"), selector=Path("b.pt"), members=(Path("c.pt"), Path("d.pt")))
    cpu = torch.device("cpu")
    job._fit_in_processes({"seed": 5}, inputs, Path("runs/x"), 2, cpu, lambda: True)
    ((entry, given, folder, more),) = found
    assert (entry, given, folder) == ({"seed": 5}, inputs, Path("runs/x"))
    assert more.pop("stop")() is False  # each process notices by itself that it is asked to stop
    assert more == {"device": cpu, "processes": Processes(1, 2)}


def test_the_task_of_one_of_several_processes_has_its_rank(tmp_path, monkeypatch):
    tasks = []

    def train(network, task, **more):
        tasks.append(task)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "train", train)
    clips, stop = tiny.write_clips(tmp_path / "train.h5"), {"device": torch.device("cpu"), "stop": lambda: False}
    with pytest.raises(KeyboardInterrupt):
        job.fit(tiny.model_entry(tiny.STANDARD), job.Inputs(clips=clips), tmp_path, processes=Processes(1, 2), **stop)
    assert tasks[0].processes == Processes(1, 2)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (3, 1)])
def test_restarted_processes_continue_with_the_saved_number_of_micro_batches(tmp_path, count, expected):
    """At most one for each clip of a process: a batch of five is two clips for one of two, and one for one of three."""
    save_micro_batches(tmp_path, 4)
    made = task([0] * 5, 5, processes=Processes(0, count))
    found = _initial_state(nn.Linear(1, 1), made, tmp_path).micro_batches
    assert (found, type(found)) == (expected, int)
