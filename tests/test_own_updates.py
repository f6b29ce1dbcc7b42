"""The defenses whose update is their own, against closed forms and their papers' algorithms written out."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tiny
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.adversarial_weight_perturbation import AdversarialWeightPerturbation, perturbation
from pipeline_lib.defenses.exponential_moving_average import ExponentialMovingAverage
from pipeline_lib.defenses.free_adversarial_training import PERTURBATION, FreeAdversarialTraining
from pipeline_lib.defenses.objective import Objective, mean_cross_entropy
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.defenses.update import updated
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import new_network
from pipeline_lib.training.loop import train
from pipeline_lib.training.optimizers import SGD
from pipeline_lib.training.schedules import MultiStep
from pipeline_lib.training.state import State
from pipeline_lib.training.task import Task, Training
from test_updates import AWP, averaged
from training_runs import CPU, trained, with_training

RATE = 0.05


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return tiny.write_clips(tmp_path_factory.mktemp("clips") / "train.h5")


def task_of(defense: Any, clips: Path, *, epochs: int = 2, plain: bool = True, count: int = 10) -> Task:
    """Batches of 4 of the first clips at a constant rate; plain: without momentum and weight decay."""
    optimizer = SGD(momentum=0.0, weight_decay=0.0) if plain else SGD()
    schedule = MultiStep(milestones=[])
    settings = Training(epochs=epochs, batch_size=4, learning_rate=RATE, schedule=schedule, optimizer=optimizer)
    return Task(defense=defense, clips=Clips(clips), rows=np.arange(count), settings=settings, seed=0, device=CPU)


def fresh() -> nn.Module:
    return new_network(tiny.model_entry(tiny.STANDARD), 2)[0]


def after(defense: Any, clips: Path, folder: Path, **more: Any) -> State:
    return train(fresh(), task_of(defense, clips, **more), folder=folder)


def batches_of(task: Task) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rows = [task.batch(step) for step in range(task.steps)]
    return [(as_clips(task.clips.read(each), CPU), torch.from_numpy(task.clips.labels[each])) for each in rows]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


class Slope(Standard):
    """The gradient of every parameter is 1."""

    def objective(self, network, clips, labels, draw):
        loss = torch.stack([parameter.sum() for parameter in network.parameters()]).sum()
        return Objective(loss, F.one_hot(labels, 2).float(), labels)


class Recorded(Standard):
    def __init__(self) -> None:
        object.__setattr__(self, "seen", [])

    def step(self, update):
        figures = updated(Standard(), update)
        self.seen.append(copy.deepcopy(update.network.state_dict()))
        return figures


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_the_average_under_a_constant_gradient_is_the_closed_form(tmp_path, clips, decay):
    """theta_t = theta_0 - rate * t, so theta'_T = theta_0 - rate * (T - decay * (1 - decay^T) / (1 - decay))."""
    state = after(ExponentialMovingAverage(defense=Slope(), decay=decay), clips, tmp_path)
    lag = decay * (1 - decay**state.step) / (1 - decay)
    for name, first in fresh().named_parameters():
        torch.testing.assert_close(state.average[name], first.detach() - RATE * (state.step - lag))
        torch.testing.assert_close(state.network.get_parameter(name), first - RATE * state.step)


def test_the_average_is_that_of_weights_and_statistics_after_every_step(tmp_path, clips):
    recorded = Recorded()
    state = after(ExponentialMovingAverage(defense=recorded, decay=0.6), clips, tmp_path)
    expected = {name: value.double() for name, value in fresh().state_dict().items()}
    for seen in recorded.seen:
        expected = {name: 0.6 * value + 0.4 * seen[name].double() for name, value in expected.items()}
    for name, value in state.average.items():
        last = recorded.seen[-1][name]
        torch.testing.assert_close(value, expected[name].float() if value.is_floating_point() else last)
    assert same(state.model().state_dict(), state.average)


@pytest.mark.parametrize("defense", ["at_pgd", "multibn"])
def test_an_average_without_memory_is_the_last_weights(tmp_path, clips, defense):
    plain = checkpoint.load(trained(tmp_path / "plain", with_training(tiny.DEFENSES[defense]), clips))["state"]
    entry = with_training(averaged(tiny.DEFENSES[defense], 0.0))
    assert same(checkpoint.load(trained(tmp_path / "averaged", entry, clips))["state"], plain)


def test_epochs_are_compared_by_the_average(tmp_path, clips):
    """A decay of 1 keeps the first weights: every epoch has their accuracy, and the first one is kept."""
    entry = with_training(averaged(tiny.STANDARD, 1.0), select_on="test", epochs=3)
    content = checkpoint.load(trained(tmp_path, entry, clips, test=clips))
    assert len({row["selection_accuracy"] for row in content["epochs"]}) == 1
    assert torch.equal(content["state"]["conv1.weight"], fresh().conv1.weight)


def test_awp_without_gamma_is_adversarial_training_bit_for_bit(tmp_path, clips):
    plain = checkpoint.load(trained(tmp_path / "plain", with_training(tiny.AT_PGD), clips))
    found = checkpoint.load(trained(tmp_path / "awp", with_training(AWP | {"gamma": 0.0}), clips))
    assert same(found["state"], plain["state"])
    assert found["epochs"] == plain["epochs"]


def brighter(loss, clips, generators):
    return clips + 0.1


def test_awp_is_the_authors_algorithm_written_out(tmp_path, clips):
    """With a copy of the network that takes the step up, as their code has it."""
    gamma, task = 0.1, task_of(None, clips, plain=False)
    state = after(AdversarialWeightPerturbation(attack=brighter, gamma=gamma), clips, tmp_path, plain=False)
    network = fresh().train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-5)
    for videos, labels in batches_of(task):
        proxy = copy.deepcopy(network)
        up = torch.optim.SGD(proxy.parameters(), lr=0.01)
        (-F.cross_entropy(proxy(videos + 0.1), labels)).backward()
        up.step()
        moves = {}
        for (name, old), new in zip(network.named_parameters(), proxy.parameters(), strict=True):
            if old.dim() > 1:
                change = (new - old).detach()
                moves[name] = gamma * old.detach().norm() / change.norm() * change
        with torch.no_grad():
            [network.get_parameter(name).add_(move) for name, move in moves.items()]
        optimizer.zero_grad()
        F.cross_entropy(network(videos + 0.1), labels).backward()
        optimizer.step()
        with torch.no_grad():
            [network.get_parameter(name).sub_(move) for name, move in moves.items()]
    torch.testing.assert_close(state.network.state_dict(), network.state_dict(), rtol=1e-3, atol=1e-5)


def test_weights_are_perturbed_by_a_fraction_of_their_norm_and_up_the_loss(clips):
    videos, labels = batches_of(task_of(None, clips))[0]
    network = fresh().train()
    loss = mean_cross_entropy(network(videos), labels).loss
    loss.backward()
    moves = perturbation(network, 0.01)
    assert len(moves) == sum(parameter.dim() > 1 for parameter in network.parameters())
    for weight, move in moves.items():
        torch.testing.assert_close(move.norm(), 0.01 * weight.detach().norm())
        weight.data += move
    assert mean_cross_entropy(network(videos), labels).loss > loss


def test_weights_without_a_gradient_are_not_perturbed():
    network = nn.Linear(2, 2)
    network.weight.grad = torch.zeros(2, 2)
    assert torch.equal(perturbation(network, 0.5)[network.weight], torch.zeros(2, 2))


@pytest.mark.parametrize(("replays", "epsilon"), [(1, 0.05), (3, 0.05), (2, 0.3)])
def test_free_training_is_the_papers_algorithm_written_out(tmp_path, clips, replays, epsilon):
    """Algorithm 1 with the authors' cut to [0, 1], which binds for the larger epsilon."""
    task = task_of(None, clips)
    state = after(FreeAdversarialTraining(epsilon=epsilon, replays=replays), clips, tmp_path)
    network, delta, cut = fresh().train(), torch.zeros(4, 3, 4, 8, 8), 0
    for videos, labels in batches_of(task):
        for _ in range(replays):
            leaf = delta.clone().requires_grad_()
            network.zero_grad()
            F.cross_entropy(network((videos + leaf).clamp(0, 1)), labels).backward()
            cut += int(((videos + delta - 0.5).abs() > 0.5).sum())
            with torch.no_grad():
                [parameter.sub_(RATE * parameter.grad) for parameter in network.parameters()]
            delta = (delta + epsilon * leaf.grad.sign()).clamp(-epsilon, epsilon)
    assert (cut > 0) == (epsilon == 0.3)
    torch.testing.assert_close(state.network.state_dict(), network.state_dict())
    assert (state.memory[PERTURBATION] == delta).float().mean() > 0.999


@dataclass(frozen=True)
class Seen(FreeAdversarialTraining):
    """Records what the network is given."""

    def extend(self, network):
        self.__dict__["inputs"] = []
        network.register_forward_pre_hook(lambda _, given: self.__dict__["inputs"].append(given[0].detach().clone()))
        return network


class Linear(nn.Module):
    """Logits (-s, s) of s = w . x with w > 0: the gradient to x has the sign of 1 for label 0, of -1 for label 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((768,), 0.1))

    def forward(self, clips):
        score = clips.flatten(1) @ self.weight
        return torch.stack([-score, score], 1)


@pytest.mark.parametrize("replays", [1, 2])
def test_free_training_of_a_linear_network_is_a_fast_gradient_sign(tmp_path, clips, replays):
    """The first pass is on clean clips. After it, delta is epsilon * the sign of the gradient of that pass: of the same
    batch in a replay, of the batch before at the start of the next one."""
    epsilon, free = 0.02, Seen(epsilon=0.02, replays=replays)
    task = task_of(free, clips, epochs=1)
    train(free.extend(Linear()), task, folder=tmp_path)
    (first, labels), (second, _) = batches_of(task)
    sign = (1 - 2 * labels).view(-1, 1, 1, 1, 1)
    expected = [first, *[first + epsilon * sign] * (replays - 1), second + epsilon * sign]
    for found, clean in zip(free.__dict__["inputs"], expected, strict=False):
        torch.testing.assert_close(found, clean)


def test_one_replay_from_zero_moves_the_weights_as_clean_training_does(tmp_path, clips):
    states = []
    for defense in (FreeAdversarialTraining(epsilon=0.1, replays=1), Standard()):
        folder = tmp_path / type(defense).__name__
        folder.mkdir()
        states.append(after(defense, clips, folder, epochs=1, plain=False, count=4))
    assert [state.step for state in states] == [1, 1]
    assert same(*(state.network.state_dict() for state in states))
