"""One step of training: running means of an epoch, gradients of micro-batches, and what stops it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline_lib.defenses.objective import Objective
from pipeline_lib.defenses.update import NETWORK, Figures
from pipeline_lib.errors import PipelineError
from pipeline_lib.training.schedules import MultiStep
from pipeline_lib.training.state import State
from pipeline_lib.training.step import step
from pipeline_lib.training.task import Task, Training

VALUES = np.array([3, 5, 9, 1], np.uint8)


class Linear:
    """Loss: the weight times the mean of the clips' only pixel, in levels. A bright clip is answered as labeled."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale, self.modes, self.figures = scale, [], {}

    def objective(self, network, clips, labels, draw) -> Objective:
        self.modes.append(network.training)
        pixels = clips.flatten() * 255
        logits = torch.stack([4 - pixels, pixels - 4], 1)
        figures = {name: figure(pixels) for name, figure in self.figures.items()}
        return Objective(self.scale * (network.weight.flatten() * pixels).mean(), logits, labels, figures)


@pytest.fixture
def made():
    """A network of one weight that starts at 2, and a task of two epochs of two steps."""
    settings = Training(epochs=2, batch_size=4, learning_rate=0.5, schedule=MultiStep(milestones=[1]))
    clips = SimpleNamespace(labels=np.ones(8, int), videos=[f"v{row}" for row in range(8)])
    device = torch.device("cpu")
    task = Task(defense=Linear(), clips=clips, rows=np.arange(8), settings=settings, seed=0, device=device)
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    return State(network, {NETWORK: torch.optim.SGD(network.parameters(), lr=0.0)}), task


def frames(scale: int = 1) -> torch.Tensor:
    return torch.from_numpy(scale * VALUES).view(4, 1, 1, 1, 1)


def never() -> bool:
    return False


@pytest.mark.parametrize("micro_batches", [1, 2, 3, 4])
def test_a_step_goes_against_the_gradient_of_the_whole_batch(made, micro_batches):
    """The mean of the pixels is 4.5, the rate 0.5: from 2 to -0.25, whatever passes at once. Two of four are right."""
    state, task = made
    state.micro_batches = micro_batches
    state.network.eval()
    assert step(state, task, np.arange(4), frames(), never) is False
    assert state.network.weight.item() == pytest.approx(2 - 0.5 * 4.5)
    assert (state.step, len(task.defense.modes), set(task.defense.modes)) == (1, micro_batches, {True})
    assert state.epochs == [{"epoch": 1, "loss": pytest.approx(9), "accuracy": 50, "learning_rate": 0.5}]


def test_an_epoch_holds_the_means_over_its_steps(made):
    state, task = made
    losses = []
    for scale in (1, 2, 1, 1):
        losses.append(state.network.weight.item() * 4.5 * scale)
        step(state, task, np.arange(4), frames(scale), never)
    assert [row["loss"] for row in state.epochs] == pytest.approx([np.mean(losses[:2]), np.mean(losses[2:])])
    # Twice as bright, 10, 18 and 6 are above 4.
    assert [row["accuracy"] for row in state.epochs] == pytest.approx([62.5, 50])
    assert [row["epoch"] for row in state.epochs] == [1, 2]
    assert [row["learning_rate"] for row in state.epochs] == pytest.approx([0.5, 0.05])


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_figures_of_the_objective_are_means_over_clips_and_steps(made, micro_batches):
    """Three micro-batches have 2, 1 and 1 clips."""
    state, task = made
    state.micro_batches = micro_batches
    task.defense.figures = {"level": torch.Tensor.mean, "square": lambda pixels: pixels.square().mean()}
    for scale in (1, 2, 1, 1):
        step(state, task, np.arange(4), frames(scale), never)
    assert [row["level"] for row in state.epochs] == pytest.approx([1.5 * 4.5, 4.5])
    assert [row["square"] for row in state.epochs] == pytest.approx([2.5 * 29, 29])


def test_the_figures_of_a_single_step_are_not_rounded(made):
    state, task = made
    task.defense.step = lambda update: Figures(0.1, 0.2, {"other": 0.3})
    step(state, task, np.arange(4), frames(), never)
    assert state.epochs == [{"epoch": 1, "loss": 0.1, "accuracy": 0.2, "learning_rate": 0.5, "other": 0.3}]


def test_an_update_knows_the_progress_of_the_training(made):
    state, task = made
    seen = []

    def observed(update):
        seen.append(update.progress)
        return Figures(0.0, 0.0)

    task.defense.step = observed
    for _ in range(task.steps):
        step(state, task, np.arange(4), frames(), never)
    assert seen == [0, 0.25, 0.5, 0.75]


def test_it_says_whether_it_was_asked_to_stop(made):
    state, task = made
    assert step(state, task, np.arange(4), frames(), lambda: True) is True
    task.defense.step = lambda update: Figures(0.0, 0.0)  # an update that exchanges nothing between processes
    assert [step(state, task, np.arange(4), frames(), lambda asked=asked: asked) for asked in (True, False)] == [1, 0]
    assert state.step == 3


@pytest.mark.parametrize(
    ("scale", "weight", "message"),
    [
        (float("nan"), 2.0, r"the training loss is nan in epoch 2, step 3: lower"),
        (1e38, 2.0, r"the training loss is inf in epoch 2, step 3: lower"),
        (1e38, 0.0, r"the gradients are not finite in epoch 2, step 3: lower"),
    ],
)
def test_what_is_not_finite_stops_it_before_the_weights_move(made, scale, weight, message):
    state, task = made
    state.step = 3
    nn.init.constant_(state.network.weight, weight)
    task.defense.scale = scale
    with pytest.raises(PipelineError, match=message):
        step(state, task, np.arange(4), frames(), never)
    assert (state.network.weight.item(), state.step, state.epochs) == (weight, 3, [])
