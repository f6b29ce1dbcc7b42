"""Attacks on a linear loss end where a formula says."""

import pytest
import torch

from attack_cases import SMALL, WEIGHT, generators, linear
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2, RatioL2
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf
from pipeline_lib.attacks.regions import RandomRectangle
from pipeline_lib.attacks.starts import Constant, UniformNoise


@pytest.mark.parametrize("steps", [1, 5])
def test_pgd_solves_a_linear_loss(steps):
    pgd = Ascent(perturbation=AdditiveLinf(epsilon=4 / 255, step_size=1 / 255), steps=steps)
    expected = (SMALL + min(steps, 4) / 255 * WEIGHT.sign()).clamp(0, 1)
    torch.testing.assert_close(pgd(linear, SMALL, generators()), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("steps", [1, 5])
def test_multav_solves_a_linear_loss(steps):
    multav = Ascent(perturbation=RatioLinf(epsilon=1.04, step_size=1.01), steps=steps)
    ratio = min(1.01**steps, 1.04)
    expected = (SMALL * ratio ** WEIGHT.sign()).clamp(0, 1)
    torch.testing.assert_close(multav(linear, SMALL, generators()), expected, rtol=1e-6, atol=0)


def test_a_random_start_ends_on_the_same_corner_of_a_linear_loss():
    """Eight steps of epsilon / 4 cross the whole set from anywhere."""
    perturbation, start = AdditiveLinf(epsilon=4 / 255, step_size=1 / 255), UniformNoise(radius=4 / 255)
    found = Ascent(perturbation=perturbation, start=start, steps=8)(linear, SMALL, generators())
    moving = WEIGHT.ne(0).expand_as(SMALL)
    torch.testing.assert_close(found[moving], (SMALL + 4 / 255 * WEIGHT.sign()).clamp(0, 1)[moving], rtol=0, atol=2e-7)


def test_a_constant_start_is_the_center_of_its_bound():
    perturbation = RatioLinf(epsilon=1.5, step_size=2.0)
    region = RandomRectangle(height=2, width=2)
    patch = Ascent(perturbation=perturbation, region=region, start=Constant(value=0.5), steps=2)
    found = patch(linear, SMALL, generators())
    inside = region.mask(SMALL, generators()).expand_as(SMALL)
    expected = (0.5 * 1.5 ** WEIGHT.sign()).expand_as(SMALL)
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-6, atol=0)
    assert patch.ratio_to_bound(patch.quantize(found, SMALL), SMALL).max() <= 1 + 1e-5


def test_pgd_l2_is_its_closed_form_on_a_linear_loss():
    """Three steps of 0.5 along the gradient, cut to a length of 1.2; the box is far."""
    clips = torch.full_like(SMALL, 0.5)
    ascent = Ascent(perturbation=AdditiveL2(epsilon=1.2, step_size=0.5), steps=3)
    along = WEIGHT / WEIGHT.norm()
    assert (1.2 * along).abs().max() < 0.5
    torch.testing.assert_close(ascent(linear, clips, generators()), (clips + 1.2 * along), rtol=0, atol=1e-6)
    two = Ascent(perturbation=AdditiveL2(epsilon=1.2, step_size=0.5), steps=2)(linear, clips, generators())
    torch.testing.assert_close(two, (clips + along), rtol=0, atol=1e-6)


def test_pgd_l2_meets_the_box_before_the_ball():
    """The authors' order, written out on one clip with black and white pixels."""
    clip, ascent = SMALL[:1], Ascent(perturbation=AdditiveL2(epsilon=0.9, step_size=2.0), steps=1)
    delta = (clip + 2 * WEIGHT / WEIGHT.norm()).clamp(0, 1) - clip
    assert delta.norm() > 0.9
    expected = (clip + delta * 0.9 / delta.norm()).clamp(0, 1)
    torch.testing.assert_close(ascent(linear, clip, generators(1)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [9.0, 0.4])
def test_pgd_l1_is_its_closed_form_on_a_linear_loss(epsilon):
    """The same k elements in every step: alpha T in each of them, or an equal fraction of a bound that is less."""
    clips, k, alpha, steps = 0.3 + 0.4 * SMALL, 5, 0.04, 3
    l1 = AdditiveL1(epsilon=epsilon, step_size=alpha, fewest=k, most=k)
    found = Ascent(perturbation=l1, steps=steps)(linear, clips, generators()) - clips
    largest = WEIGHT.abs().flatten().topk(k).indices
    expected = torch.zeros(WEIGHT.numel())
    expected[largest] = min(alpha * steps, epsilon / k) * WEIGHT.flatten()[largest].sign()
    torch.testing.assert_close(found, expected.view_as(WEIGHT).expand_as(found), rtol=0, atol=1e-6)


def test_multav_l2_is_its_closed_form_on_a_linear_loss():
    clips = torch.full_like(SMALL, 0.5)
    ascent = Ascent(perturbation=RatioL2(epsilon=100, step_size=3.55), steps=1)
    expected = (0.5 * 3.55 ** (WEIGHT / WEIGHT.norm())).expand_as(clips)
    torch.testing.assert_close(ascent(linear, clips, generators()), expected, rtol=1e-5, atol=0)
