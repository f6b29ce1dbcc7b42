"""The steps of APGD by themselves: the rule of sparse steps, and momentum on a logarithmic scale."""

import pytest
import torch

from pipeline_lib.attacks.adaptive_steps import Checkpoints, SparseSteps, ratio_mix

CENTER = torch.full((2, 1, 4, 5), 0.5)
GRADIENT = torch.arange(1.0, 21.0).view(1, 1, 4, 5).expand(2, 1, 4, 5) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)


def test_the_first_sparse_step_moves_a_fifth_of_the_elements_with_a_gradient_by_the_radius_in_all():
    steps = SparseSteps(CENTER, steps=100, radius=1.0)
    moved = steps.advance(CENTER, CENTER, GRADIENT) - CENTER
    expected = torch.zeros(20)
    expected[-4:] = 0.25  # the four largest of twenty
    torch.testing.assert_close(moved.flatten(1), torch.stack([expected, -expected]))


def test_elements_without_a_gradient_do_not_count_and_at_least_one_moves():
    few = torch.zeros_like(GRADIENT)
    few[:, 0, 0, :3] = torch.tensor([0.3, 0.2, 0.1])
    steps = SparseSteps(CENTER, steps=100, radius=0.4)
    moved = (steps.advance(CENTER, CENTER, few) - CENTER).flatten(1)
    assert steps.counts.tolist() == [1, 1]  # a fifth of three, at least one
    torch.testing.assert_close(moved[0, 0], torch.tensor(0.4))
    assert (moved[:, 1:] == 0).all()


@pytest.mark.parametrize(("steps", "window"), [(100, 4), (25, 1), (10, 1)])
def test_checks_come_after_four_percent_of_the_steps_and_the_start_is_none(steps, window):
    rule = SparseSteps(CENTER, steps=steps, radius=1.0)
    losses = torch.zeros(2)
    assert rule.observe(losses, losses, CENTER) is None  # the start
    for _ in range(window - 1):
        assert rule.observe(losses, losses, CENTER) is None
    assert rule.observe(losses, losses, CENTER).all()  # nothing changed: sparser than all elements
    assert rule.until_check == window


def test_a_sparser_best_iterate_keeps_the_radius_and_another_one_shortens_the_step():
    rule = SparseSteps(CENTER, steps=25, radius=2.0)
    losses, best = torch.zeros(2), CENTER.clone()
    best[0].view(-1)[:18] += 0.1  # 18 of 20 are fewer than 95 %
    best[1].view(-1)[:19] += 0.1  # 19 of 20 are not
    rule.observe(losses, losses, best)
    assert rule.observe(losses, losses, best).tolist() == [True, False]
    assert rule.counts.tolist() == [12, 12]
    torch.testing.assert_close(rule.length, torch.tensor([2.0, 2 / 1.5]))
    for _ in range(20):
        rule.observe(losses, losses, best)
    torch.testing.assert_close(rule.length, torch.tensor([0.2, 0.2]))  # a tenth of the radius at least
    none = CENTER.clone()
    rule.observe(losses, losses, none)
    assert rule.counts.tolist() == [1, 1]


def test_the_ratio_mix_is_the_additive_mix_of_logarithms():
    here, ahead, before = (torch.tensor(values, dtype=torch.float64) for values in ([0.5, 0.2], [0.6, 0.1], [0.4, 0.4]))
    logarithms = here.log() + 0.75 * (ahead / here).log() + 0.25 * (here / before).log()
    torch.testing.assert_close(ratio_mix(here, ahead, before, 0.75), logarithms.exp())


def test_where_one_of_three_has_no_logarithm_the_step_is_taken_alone():
    here, ahead, before = (torch.tensor(values) for values in ([0.0, 0.5, 0.5], [0.3, 0.0, 0.6], [0.4, 0.4, 0.0]))
    assert torch.equal(ratio_mix(here, ahead, before, 0.75), ahead)


@pytest.mark.parametrize(("rises", "halved"), [(2, True), (3, True), (4, False)])
def test_the_step_is_halved_unless_the_loss_rises_in_more_than_three_of_four_steps(rises, halved):
    """Of 20 steps, the first four are compared."""
    rule = Checkpoints(torch.zeros(1, 3, 1, 4, 4), 20, 1.0, None, None, None)
    assert rule.observe(torch.zeros(1), torch.zeros(1), None) is None
    losses = [*range(1, rises + 1), *[0] * (4 - rises)]
    found = [rule.observe(torch.tensor([float(loss)]), torch.tensor([9.0]), None) for loss in losses]
    assert found[:3] == [None] * 3
    assert found[3].tolist() == [halved]
    assert rule.length.tolist() == [1.0 if halved else 2.0]


@pytest.mark.parametrize(
    ("steps", "checks"),
    [(100, [22, 41, 57, 70, 80, 87, 93, 99]), (50, [11, 21, 30, 38, 45]), (5, [1, 2, 3, 4, 5])],
)
def test_checkpoints_are_where_the_paper_has_them_and_at_least_a_step_apart(steps, checks):
    """p_1 = 0.22 and p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06) of all steps; each distance is rounded down."""
    rule, losses = Checkpoints(torch.zeros(1, 3, 1, 4, 4), steps, 1.0, None, None, None), torch.zeros(1)
    assert rule.observe(losses, losses, None) is None
    assert [step for step in range(1, steps + 1) if rule.observe(losses, losses, None) is not None] == checks


def test_a_shortened_sparse_step_is_shared_by_the_elements_that_it_moves():
    rule, losses = SparseSteps(CENTER, steps=25, radius=1.0), torch.zeros(2)
    for _ in range(2):
        rule.observe(losses, losses, CENTER + 0.1)  # no element of the best iterate is unchanged
    moved = rule.advance(CENTER, CENTER, GRADIENT) - CENTER
    expected = torch.zeros(20)
    expected[-13:] = 1 / 1.5 / 13  # two thirds of twenty elements
    torch.testing.assert_close(moved.flatten(1), torch.stack([expected, -expected]))


def test_lengths_of_float64_clips_are_not_rounded_to_float32():
    clips = CENTER.double()
    assert Checkpoints(clips, 20, 0.1, None, None, None).length.tolist() == [0.2, 0.2]
    assert SparseSteps(clips, 20, 0.1).length.tolist() == [0.1, 0.1]
