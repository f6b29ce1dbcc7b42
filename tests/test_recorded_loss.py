"""What is recorded of a loss while an attack climbs it: losses, correct answers, and the first step."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.goals import LeastLikely, NextClass, TargetClass, Untargeted
from pipeline_lib.attacks.losses import attacking, loss_and_gradient
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.evaluation.audit import goal_reached
from pipeline_lib.evaluation.recording import FirstStep, RecordedLoss
from test_audit import PGD, Brightness, Codec


def test_a_gradient_that_nothing_leads_to_is_zero_and_no_error():
    first_step = FirstStep(RecordedLoss(Codec("detached"), torch.zeros(3, dtype=torch.long)))
    clips = torch.rand(3, 3, 4, 8, 8)
    with attacking(nn.Module()):
        live = PGD(first_step, clips, [torch.Generator() for _ in range(3)])
    assert first_step.facts(live, clips).zero_elements.tolist() == [1, 1, 1]


def test_black_clips_that_nothing_leads_back_to_have_a_finite_loss():
    recorded = RecordedLoss(Codec("detached"), torch.zeros(2, dtype=torch.long))
    losses, gradient = loss_and_gradient(recorded, torch.zeros(2, 3, 4, 8, 8))
    assert losses.isfinite().all()
    assert (gradient == 0).all()


def test_an_attack_that_takes_no_gradient_has_no_first_step():
    first_step, clips = FirstStep(quadratic), torch.rand(2, 3, 4, 8, 8)
    first_step(clips.clone().requires_grad_())  # evaluated only
    assert all(values.tolist() == [0, 0] for values in first_step.facts(clips, clips))


def quadratic(clips: torch.Tensor) -> torch.Tensor:
    """(N,): half the sum of squares of the first channel."""
    return clips[:, 0].square().flatten(1).sum(1) / 2


@pytest.mark.parametrize("steps", [1, 3])
def test_the_first_step_is_compared_with_its_gradient(steps):
    """From x by d where the gradient is x: predicted x d, and d^2 / 2 more comes of it, for each element."""
    clips, step = torch.full((2, 3, 4, 8, 8), 0.5), 0.1
    first_step = FirstStep(quadratic)
    attack = Ascent(perturbation=AdditiveLinf(epsilon=0.4, step_size=step), steps=steps)
    measured = first_step.facts(attack(first_step, clips, [torch.Generator()] * 2), clips)
    elements = 4 * 8 * 8
    assert measured.predicted_increase == pytest.approx([elements * 0.5 * step] * 2, rel=1e-5)
    assert measured.first_rise == pytest.approx([elements * (0.5 * step + step**2 / 2)] * 2, rel=1e-5)
    assert measured.zero_elements == pytest.approx([2 / 3] * 2)


@pytest.mark.parametrize(("floor", "short"), [(0.0, [0, 0, 0]), (2.0, [1, 1, 0]), (100.0, [1, 1, 1])])
def test_gradients_below_the_floor_of_a_normalization_are_counted(floor, short):
    """The gradient is the clip: zero, of 256 elements of 0.1, norm 1.6, and of 0.5, norm 8. Without a floor none is."""
    clips = torch.stack([torch.full((3, 4, 8, 8), value) for value in (0.0, 0.1, 0.5)])
    first_step = FirstStep(quadratic, floor=floor)
    loss_and_gradient(first_step, clips.clone())
    assert first_step.facts(clips + 0.1, clips).below_floor.tolist() == short


def test_zero_elements_are_counted_where_the_attack_is():
    """Two of three channels are looked at by nothing, and of the first one the upper half."""
    clips = torch.rand(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.5
    for rows, fraction in ((slice(0, 4), 1.0), (slice(4, 8), 2 / 3), (slice(2, 6), 5 / 6)):
        first_step, start = FirstStep(lambda seen: quadratic(seen[..., 4:, :])), clips.clone()
        start[..., rows, :] = 0.6
        loss_and_gradient(first_step, start)
        assert first_step.facts(start, clips).zero_elements == pytest.approx([fraction] * 2)


def test_recording_changes_no_loss_and_no_gradient():
    network, labels = Brightness(), torch.tensor([0, 1])
    clean = torch.rand(2, 3, 4, 8, 8)
    found, plain = (clean.clone().requires_grad_() for _ in range(2))
    recorded = RecordedLoss(network, labels)
    losses = recorded(found)
    expected = nn.functional.cross_entropy(network(plain), labels, reduction="none")
    assert torch.equal(losses, expected)
    losses.sum().backward()
    expected.sum().backward()
    assert torch.equal(found.grad, plain.grad)


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (None, [False, True, True, True]),
        (Untargeted(), [False, True, True, True]),
        (TargetClass(target=2), [False, False, True, True]),  # the last one's label is 2: away from it
        (NextClass(), [False, True, False, True]),
        (LeastLikely(), [False, False, True, False]),
    ],
)
def test_the_share_that_reached_its_goal_is_that_of_the_target(goal, expected):
    labels, predictions = torch.tensor([0, 0, 0, 2]), np.array([0, 1, 2, 0])
    logits = torch.tensor([3.0, 2.0, 1.0]).expand(4, -1)
    criterion = goal.criterion(lambda clips: logits, torch.zeros(4), labels) if goal else None
    recorded = RecordedLoss(lambda clips: logits, labels, criterion)
    assert goal_reached(recorded, predictions, 3).tolist() == expected


def test_a_criterion_is_climbed_and_cross_entropies_are_noted():
    network, labels, clips = Brightness(), torch.tensor([0, 1]), torch.rand(2, 3, 4, 8, 8)
    recorded = RecordedLoss(network, labels, lambda logits: logits[:, 0])
    recorded(clips + 0.1)  # tried before the first gradient: no iterate
    assert torch.equal(recorded(clips.requires_grad_()), network(clips)[:, 0])
    (noted,) = recorded.losses
    assert torch.equal(noted, nn.functional.cross_entropy(network(clips), labels, reduction="none"))
    assert torch.equal(recorded.first_clip, clips[:1])


def test_a_record_until_now_is_not_changed_by_later_calls():
    recorded = RecordedLoss(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.tensor([0, 1]))
    recorded(torch.rand(2, 4, requires_grad=True))
    kept = recorded.until_now()
    recorded(torch.rand(2, 4, requires_grad=True))
    assert (len(kept.losses), len(kept.correct)) == (1, 1)
    assert (len(recorded.losses), len(recorded.correct)) == (2, 2)
