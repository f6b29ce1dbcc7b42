"""Learning rates: a function of the step, and of the fraction of an epoch that it stands for."""

import numpy as np
import pytest
import torch

from pipeline_lib.training.schedules import MultiStep, OneCycle
from pipeline_lib.training.task import Task, Training


def rates(schedule, epochs: int = 2, clips: int = 9, batch_size: int = 2, learning_rate: float = 3.0) -> list[float]:
    """Of all steps of a training: four in an epoch, the ninth clip of each is left out."""
    settings = Training(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, schedule=schedule)
    given = {"defense": None, "clips": None, "rows": np.arange(clips), "seed": 0, "device": torch.device("cpu")}
    task = Task(**given, settings=settings)
    return [task.learning_rate(step) for step in range(task.steps)]


def test_one_cycle_moves_with_every_step():
    """Up by a straight line over half of eight steps, down along half a cosine."""
    falling = [1.5 * (1 + np.cos(np.pi * k / 4)) for k in range(4)]
    assert rates(OneCycle(warm_up=0.5)) == pytest.approx([0, 0.75, 1.5, 2.25, *falling])


def test_one_cycle_rises_for_a_fifth_unless_said_otherwise():
    progress = OneCycle()
    assert [progress(epoch, 10) for epoch in (1, 2, 6, 10)] == pytest.approx([0.5, 1, 0.5, 0])


def test_without_a_warm_up_the_first_step_is_the_largest():
    assert OneCycle(warm_up=0.0)(0, 5) == 1


def test_milestones_are_epochs_and_multiply():
    schedule = MultiStep(milestones=[1, 3], factor=0.5)
    assert rates(schedule, epochs=4) == [3.0] * 4 + [1.5] * 8 + [0.75] * 4
    assert MultiStep(milestones=[7])(7, 15) == pytest.approx(0.1)
