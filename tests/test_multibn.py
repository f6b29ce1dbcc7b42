"""The MultiBN defenses: what a training step touches, and what its loss is."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.defenses.multi_perturbation import Average
from pipeline_lib.defenses.multibn import MultiBN, MultiBNManual, guessing_loss
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.randomness.generators import clip_generators

RANDOM = torch.Generator().manual_seed(0)
CLIPS = torch.rand(4, 3, 4, 16, 16, generator=RANDOM)
LABELS = torch.tensor([0, 1, 2, 3])
NETWORK = ResNet3D(depth=10, width=4, stem_kernel=3, stem_pool=False, stages=2)
PGD = Ascent(perturbation=AdditiveLinf(epsilon=0.1, step_size=0.05), steps=2)
ROA = Ascent(perturbation=AdditiveLinf(epsilon=0.2, step_size=0.1), steps=1)
BRANCHES = {"clean": [], "lp": [PGD], "physical": [ROA]}


def draw(name: str) -> list[torch.Generator]:
    return clip_generators(0, [f"{name} {i}" for i in range(len(CLIPS))])


def extended(defense: Defense) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return defense.extend(NETWORK(5))


@pytest.mark.parametrize("statistics", ["by_type", "all", "by_weight"])
def test_a_step_moves_every_statistic_once(statistics):
    defense = MultiBN(branches=BRANCHES, selector=NETWORK, statistics=statistics)
    network = extended(defense)
    defense.objective(network, CLIPS, LABELS, draw)
    counts = {key: int(v) for key, v in network.state_dict().items() if key.endswith("num_batches_tracked")}
    assert set(counts.values()) == {1}  # crafting moved none, the training forward each one once


def selections_of(network: nn.Module) -> list[torch.Tensor]:
    """Fills with what the selection module says, one entry for each of its forward passes."""
    said: list[torch.Tensor] = []
    network.selector.register_forward_hook(lambda part, inputs, output: said.append(output.detach()))
    return said


def test_batch_statistics_are_of_the_clips_that_the_configuration_says():
    """The first BatchNorm of a clean branch: means of the clean clips, of all, or of all as the selection weighs."""
    means = {}
    for statistics in ("by_type", "all", "by_weight"):
        defense = MultiBN(branches=BRANCHES, selector=NETWORK, statistics=statistics)
        network = extended(defense)
        seen = []
        network.target.bn1.register_forward_pre_hook(lambda part, inputs, seen=seen: seen.append(inputs[0].detach()))
        said = selections_of(network)
        defense.objective(network, CLIPS, LABELS, draw)
        means[statistics] = network.target.bn1.branches[0].running_mean / 0.1  # from zero, with momentum 0.1
        each = seen[-1].mean((2, 3, 4))
        rho = said[-1].softmax(1)[:, 0]
        expected = {
            "by_type": each[: len(CLIPS)].mean(0),
            "all": each.mean(0),
            "by_weight": (rho[:, None] * each).sum(0) / rho.sum(),
        }
        torch.testing.assert_close(means[statistics], expected[statistics], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(means["by_type"], means["all"], rtol=1e-3)


def test_the_loss_is_that_of_the_classes_and_of_the_types():
    plain = MultiBN(branches=BRANCHES, selector=NETWORK, selection_weight=0.0)
    weighted = MultiBN(branches=BRANCHES, selector=NETWORK, selection_weight=2.0)
    network = extended(plain)
    without = plain.objective(copy.deepcopy(network), CLIPS, LABELS, draw)
    with_it = weighted.objective(copy.deepcopy(network), CLIPS, LABELS, draw)
    torch.testing.assert_close(without.loss, nn.functional.cross_entropy(without.logits, without.labels))
    assert torch.equal(without.logits, with_it.logits)
    said = selections_of(network)
    plain.objective(network, CLIPS, LABELS, draw)
    types = torch.arange(3).repeat_interleave(len(CLIPS))
    chosen = nn.functional.cross_entropy(said[-1], types)
    torch.testing.assert_close(with_it.loss, without.loss + 2 * chosen)
    with_it.loss.backward()
    assert without.labels.tolist() == LABELS.tolist() * 3


def test_the_selection_learns_even_without_its_own_loss():
    """The weights of the branches are part of the network: the classes' loss reaches the selection module."""
    defense = MultiBN(branches=BRANCHES, selector=NETWORK, selection_weight=0.0)
    network = extended(defense)
    for branch, scale in enumerate([0.2, 1.0, 3.0]):
        network.target.bn1.branches[branch].weight.data.fill_(scale)
    defense.objective(network, CLIPS, LABELS, draw).loss.backward()
    assert network.selector.fc.weight.grad.abs().sum() > 0


def test_in_the_warm_up_the_selection_learns_from_the_types_alone():
    """The gradient of the whole loss in the module is that of the types' cross-entropy; in the network it is the same
    as without a warm-up."""
    defense = MultiBN(branches=BRANCHES, selector=NETWORK, selection_weight=2.0)
    network = extended(defense)
    for branch, scale in enumerate([0.2, 1.0, 3.0]):
        network.target.bn1.branches[branch].weight.data.fill_(scale)
    printed, warm, types = (copy.deepcopy(network) for _ in range(3))
    inputs = []
    warm.selector.register_forward_pre_hook(lambda part, given: inputs.append(given[0].detach()))
    full = defense.objective(printed, CLIPS, LABELS, draw)
    detached = defense.warm_up_objective(warm, CLIPS, LABELS, draw)
    assert torch.equal(full.loss, detached.loss)
    full.loss.backward()
    detached.loss.backward()
    kinds = torch.arange(3).repeat_interleave(len(CLIPS))
    (2 * nn.functional.cross_entropy(types.selector(inputs[-1]), kinds)).backward()
    for ours, alone in zip(warm.selector.parameters(), types.selector.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, alone.grad)
    assert not torch.allclose(warm.selector.fc.weight.grad, printed.selector.fc.weight.grad, rtol=1e-3)
    for ours, theirs in zip(warm.target.parameters(), printed.target.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


class Observed:
    """An update that records the objectives of its passes."""

    def __init__(self, progress: float) -> None:
        self.progress, self.objectives = progress, []

    def gradients(self, objective):
        self.objectives.append(objective)

    def descend(self):
        pass


@pytest.mark.parametrize(
    ("warm_up", "weight", "expected"),
    [(0.0, 1.0, "pppp"), (0.5, 1.0, "wwpp"), (0.3, 1.0, "wwpp"), (1.0, 1.0, "wwww"), (1.0, 0.0, "pppp")],
)
def test_the_warm_up_is_a_fraction_of_the_training(warm_up, weight, expected):
    """And there is none without a loss of the types, which alone would teach the module in it."""
    defense = MultiBN(branches=BRANCHES, selector=NETWORK, selector_warm_up=warm_up, selection_weight=weight)
    found = ""
    for progress in (0, 0.25, 0.5, 0.75):
        update = Observed(progress)
        defense.step(update)
        found += {defense.objective: "p", defense.warm_up_objective: "w"}[update.objectives[0]]
    assert found == expected


@pytest.mark.parametrize("counts", [[4, 4, 4], [8, 4, 4], [4, 12], [2, 3, 5, 7], [4]])
def test_a_guess_between_two_types_is_the_best_of_such_selections(counts):
    """A module that gives two types the same logits, by their frequency, and is certain of all others."""
    types = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    losses = [0.0] if len(counts) == 1 else []
    for pair in itertools.combinations(range(len(counts)), 2):
        logits = 100.0 * nn.functional.one_hot(types, len(counts))
        guess = torch.full((len(counts),), -100.0)
        for kind in pair:
            guess[kind] = math.log(counts[kind] / sum(counts[one] for one in pair))
        logits[torch.isin(types, torch.tensor(pair))] = guess
        losses.append(nn.functional.cross_entropy(logits, types).item())
    assert guessing_loss(counts) == pytest.approx(min(losses), abs=1e-6)


def test_a_step_records_how_well_it_selects():
    defense = MultiBN(branches=BRANCHES, selector=NETWORK)
    network = extended(defense)
    said = selections_of(network)
    figures = defense.objective(network, CLIPS, LABELS, draw).figures
    types = torch.arange(3).repeat_interleave(len(CLIPS))
    torch.testing.assert_close(figures["selector_loss"], nn.functional.cross_entropy(said[-1], types))
    torch.testing.assert_close(figures["selector_accuracy"], 100 * (said[-1].argmax(1) == types).float().mean())
    assert figures["selector_guess"].item() == pytest.approx(2 * math.log(2) / 3)


@pytest.mark.parametrize("branch_shortcuts", [False, True])
def test_shortcuts_have_branches_by_configuration(branch_shortcuts):
    manual = MultiBNManual(branches=BRANCHES, branch_shortcuts=branch_shortcuts)
    soft = MultiBN(branches=BRANCHES, selector=NETWORK, branch_shortcuts=branch_shortcuts)
    for keys in (extended(manual).state_dict(), extended(soft).target.state_dict()):
        assert any("downsample" in key and ".branches." in key for key in keys) == branch_shortcuts


def test_one_branch_of_clean_clips_and_attacks_trains_as_avg():
    """No BatchNorm parts them: the same loss, logits and statistics as one network on the mixture."""
    manual = MultiBNManual(branches={"all": [None, PGD, ROA]}, branch_shortcuts=True)
    average = Average(attacks=[PGD, ROA])
    branched, plain = extended(manual), extended(average)
    with_branch, without = (
        defense.objective(network, CLIPS, LABELS, draw) for defense, network in ((manual, branched), (average, plain))
    )
    torch.testing.assert_close(with_branch.loss, without.loss)
    torch.testing.assert_close(with_branch.logits, without.logits)
    torch.testing.assert_close(branched.bn1.branches[0].running_var, plain.bn1.running_var)
