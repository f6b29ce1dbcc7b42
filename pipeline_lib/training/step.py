"""One training step: the defense's update of the network, and its figures."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from pipeline_lib.defenses.update import Figures, updated
from pipeline_lib.training.state import State
from pipeline_lib.training.task import Task
from pipeline_lib.training.update import BatchUpdate


def step(state: State, task: Task, rows: np.ndarray, frames: Tensor, stop: Callable[[], bool]) -> bool:
    """One update on a batch; returns whether any process was asked to stop."""
    update = BatchUpdate(state, task, rows, frames, stop)
    _account(state, task, updated(task.defense, update), update.rate)
    state.step += 1
    return update.any_stop()


def _account(state: State, task: Task, figures: Figures, rate: float) -> None:
    """Adds a step to its epoch's running means."""
    epoch, batch = divmod(state.step, task.steps_per_epoch)
    if len(state.epochs) == epoch:
        fresh = dict.fromkeys(figures.others, 0.0)
        state.epochs.append({"epoch": epoch + 1, "loss": 0.0, "accuracy": 0.0, "learning_rate": rate} | fresh)
    row = state.epochs[epoch]
    for name, value in {"loss": figures.loss, "accuracy": figures.accuracy, **figures.others}.items():
        row[name] += (value - row[name]) / (batch + 1)
