"""Every attack with every goal, on linear networks: where targets lead, how the loss moves, and the bound."""

from dataclasses import replace

import pytest
import torch

from attack_cases import ATTACKS, attack, random_clips
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.expectation import Expectation
from pipeline_lib.attacks.goals import Goal, LeastLikely, NextClass, TargetClass, Untargeted, loss_of
from pipeline_lib.attacks.lp_perturbations import PrintedRatioL2
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.search import SearchedRectangle
from pipeline_lib.attacks.starts import Constant
from pipeline_lib.attacks.steepest import Steepest
from pipeline_lib.randomness.generators import clip_generators

CLIPS, LABELS = random_clips(2, 3, 1, 112, 112), torch.tensor([0, 1])
# So small that no probability comes near 1, where minus the cross-entropy to the target is flat in float32.
WEIGHT = torch.randn(4, CLIPS[0].numel(), generator=torch.Generator().manual_seed(2)) / 10_000
WEIGHT[0] = 0  # of two classes the signs of the gradient are then exact
FREE = AdditiveLinf(epsilon=1.0, step_size=70 / 255)
SEARCHED = SearchedRectangle(height=30, width=30, search="gradient", stride=8, candidates=4)


def made(name: str, goal: Goal):
    if name == "searched":
        return Ascent(perturbation=FREE, region=SEARCHED, start=Constant(value=0.5), steps=3, goal=goal)
    if name == "steepest":
        return Steepest(attacks=[attack(other) for other in ("pgd", "l1", "pgd_l2")], steps=3, goal=goal)
    if name == "printed":
        return Ascent(perturbation=PrintedRatioL2(epsilon=400, step_size=3.55), steps=3, goal=goal)
    if name == "restarts":
        return replace(attack("pgd", 3), goal=goal, restarts=2, keep="best")
    if name == "expectation":
        return Expectation(attack=replace(attack("roa", 3), goal=goal), samples=2)
    return replace(attack(name, 3), goal=goal)


GOALS = [TargetClass(target=1), NextClass(), LeastLikely()]
NAMES = [*ATTACKS, "searched", "steepest", "printed", "restarts", "expectation"]


def generators():
    return clip_generators(7, ["first", "second"])


def linear(classes: int):
    return lambda clips: clips.flatten(1) @ WEIGHT[:classes].T


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: type(goal).__name__)
@pytest.mark.parametrize("name", NAMES)
def test_of_two_classes_every_target_is_the_wrong_one(name, goal):
    """The logits' difference decides, whose gradient has one direction: the clips are those without a goal."""
    network = linear(2)
    targeted, untargeted = made(name, goal), made(name, Untargeted())
    found = targeted(loss_of(targeted, network, CLIPS, LABELS), CLIPS, generators())
    expected = untargeted(loss_of(untargeted, network, CLIPS, LABELS), CLIPS, generators())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("goal", [TargetClass(target=3), *GOALS[1:]], ids=lambda goal: type(goal).__name__)
@pytest.mark.parametrize("name", NAMES)
def test_the_targets_probability_rises_inside_the_bound(name, goal):
    network, seen = linear(4), []
    targeted = made(name, goal)
    attack_loss = loss_of(targeted, network, CLIPS, LABELS)

    def recorded(clips):
        if clips.requires_grad:
            seen.append(clips.detach().clone())
        return attack_loss(clips)

    live = targeted(recorded, CLIPS, generators())
    targets = {"TargetClass": torch.full((2,), 3), "NextClass": LABELS + 1}
    least = network(CLIPS).scatter(1, LABELS[:, None], torch.inf).argmin(1)
    target = targets.get(type(goal).__name__, least)
    # A search takes one gradient at the clean clips; the first iterate is the second.
    before, after = (network(clips).softmax(1)[range(2), target] for clips in (seen[name == "searched"], live))
    assert (after > before).all()
    stored = targeted.quantize(live, CLIPS)
    assert max(targeted.ratio_to_bound(clips, CLIPS).max() for clips in (live, stored)) <= 1 + 1e-5
