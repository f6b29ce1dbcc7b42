"""The MultiBN defenses: what a training step touches, and what its loss is."""

import copy

import pytest
import torch
from torch import nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.defenses.multi_perturbation import Average
from pipeline_lib.defenses.multibn import MultiBN, MultiBNManual
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
