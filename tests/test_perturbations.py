"""Bounds, steps and the 8-bit lattice, checked value by value."""

import math

import pytest
import torch

from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf, on_lattice
from pipeline_lib.errors import PipelineError

LEVELS = torch.arange(256.0)
CLEAN = (LEVELS / 255).view(1, 1, 1, 16, 16)
ADDITIVE = AdditiveLinf(epsilon=4 / 255, step_size=1 / 255)
RATIO = RatioLinf(epsilon=1.04, step_size=1.01)
WIDE_RATIO = RatioLinf(epsilon=3.55, step_size=1.7)
BOX = AdditiveLinf(epsilon=1.0, step_size=70 / 255)
BETWEEN_LEVELS = AdditiveLinf(epsilon=0.01, step_size=1.0)
ALL = [ADDITIVE, BOX, BETWEEN_LEVELS, RATIO, WIDE_RATIO]


def pushed(sign: int) -> torch.Tensor:
    """Every grey level with a gradient of that sign."""
    return torch.full_like(CLEAN, float(sign))


def reached(perturbation, sign: int) -> torch.Tensor:
    """Grey levels after so many steps that the bound or the box is met."""
    clips = CLEAN
    for _ in range(400):
        clips = perturbation.project(perturbation.step(clips, pushed(sign), []), CLEAN).clamp(0, 1)
    return clips


def in_bound(perturbation, level: int, other: int) -> bool:
    """The definition, in exact arithmetic on grey levels."""
    if isinstance(perturbation, AdditiveLinf):
        return abs(level - other) <= perturbation.epsilon * 255 + 1e-6
    if level == 0 or other == 0:
        return level == other
    return max(level / other, other / level) <= perturbation.epsilon + 1e-9


def test_additive_steps_by_the_sign():
    gradient = torch.tensor([-3.0, 0.0, 1e-12]).view(1, 1, 1, 1, 3)
    clips = torch.full_like(gradient, 0.5)
    expected = torch.tensor([0.5 - 1 / 255, 0.5, 0.5 + 1 / 255]).view_as(clips)
    torch.testing.assert_close(ADDITIVE.step(clips, gradient, []), expected, rtol=0, atol=1e-7)


def test_ratio_steps_by_the_power_of_the_sign():
    gradient = torch.tensor([-3.0, 0.0, 1e-12]).view(1, 1, 1, 1, 3)
    clips = torch.full_like(gradient, 0.5)
    expected = torch.tensor([0.5 / 1.01, 0.5, 0.5 * 1.01]).view_as(clips)
    torch.testing.assert_close(RATIO.step(clips, gradient, []), expected, rtol=2e-7, atol=0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_bounds_are_met_and_not_passed(sign):
    torch.testing.assert_close(reached(ADDITIVE, sign), (CLEAN + sign * 4 / 255).clamp(0, 1), rtol=0, atol=1e-7)
    torch.testing.assert_close(reached(RATIO, sign), (CLEAN * 1.04**sign).clamp(0, 1), rtol=1e-6, atol=0)


def test_black_pixels_have_no_ratio_and_stay_black():
    assert reached(WIDE_RATIO, 1).flatten()[0] == 0
    assert reached(WIDE_RATIO, 1).flatten()[1] > 0


@pytest.mark.parametrize("perturbation", ALL)
def test_projection_leaves_clips_inside_alone(perturbation):
    inside = perturbation.project(CLEAN, CLEAN)
    torch.testing.assert_close(inside, CLEAN, rtol=0, atol=0)


def test_ratio_to_bound_is_the_share_of_the_bound_in_use():
    clips = torch.full((3, 1, 1, 1, 2), 0.5)
    moved = clips.clone()
    moved[1, ..., 0] += 2 / 255
    moved[2, ..., 1] -= 8 / 255
    torch.testing.assert_close(ADDITIVE.ratio_to_bound(moved, clips), torch.tensor([0, 0.5, 2]), rtol=1e-5, atol=0)
    moved = clips.clone()
    moved[1, ..., 0] *= math.sqrt(1.04)
    moved[2, ..., 1] /= 1.04
    torch.testing.assert_close(RATIO.ratio_to_bound(moved, clips), torch.tensor([0, 0.5, 1]), rtol=1e-5, atol=0)


def test_ratio_to_bound_of_a_lit_or_blackened_pixel_is_infinite():
    black, lit = torch.zeros(1, 1, 1, 1, 2), torch.tensor([0.0, 0.1]).view(1, 1, 1, 1, 2)
    assert RATIO.ratio_to_bound(lit, black).item() == math.inf
    assert RATIO.ratio_to_bound(black, lit).item() == math.inf
    assert RATIO.ratio_to_bound(black, black).item() == 0


@pytest.mark.parametrize("perturbation", ALL)
@pytest.mark.parametrize("sign", [-1, 1])
def test_quantized_clips_are_the_nearest_levels_inside_the_bound(perturbation, sign):
    """Against a search over all 256 levels for each of the 256 clean levels."""
    live = reached(perturbation, sign)
    stored = perturbation.quantize(live, CLEAN).flatten() * 255
    for clean, (target, got) in enumerate(zip((live.flatten() * 255).tolist(), stored.tolist(), strict=True)):
        allowed = [level for level in range(256) if in_bound(perturbation, level, clean)]
        assert round(got) in allowed
        assert abs(round(got) - target) <= min(abs(level - target) for level in allowed) + 1e-4


@pytest.mark.parametrize("perturbation", ALL)
def test_quantized_clips_are_exactly_eight_bit_and_the_clean_clip_stays(perturbation):
    noise = torch.rand(CLEAN.shape, generator=torch.Generator().manual_seed(0))
    stored = perturbation.quantize(perturbation.project(noise, CLEAN).clamp(0, 1), CLEAN)
    assert torch.equal(stored, (stored * 255).round() / 255)
    assert perturbation.ratio_to_bound(stored, CLEAN).item() <= 1 + 1e-5
    assert torch.equal(perturbation.quantize(CLEAN, CLEAN), CLEAN)


def test_levels_are_those_of_eight_bits():
    assert (on_lattice(torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.1])) * 255).tolist() == [0, 0, 128, 255, 255]
    assert BOX.quantize(torch.tensor([[1.004]]), torch.ones(1, 1)) == 1


def test_a_bound_below_one_level_rounds_to_the_clean_clip():
    small = AdditiveLinf(epsilon=0.9 / 255, step_size=1.0)
    assert torch.equal(small.quantize(reached(small, 1), CLEAN), CLEAN)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdditiveLinf(epsilon=0, step_size=1), "epsilon is 0: it must be above 0"),
        (lambda: AdditiveLinf(epsilon=1, step_size=math.nan), "step_size is nan"),
        (lambda: RatioLinf(epsilon=1.04, step_size=0.01), "step_size is 0.01: it must be above 1"),
        (lambda: RatioLinf(epsilon=1.0, step_size=1.01), "epsilon is 1.0: it must be above 1"),
    ],
)
def test_impossible_bounds_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


RATIOS = [  # grey levels: clean, adversarial, how much of a ratio of 2 is used with zeros kept, and with a floor
    (100, 100, 0.0, 0.0),
    (100, 200, 1.0, 1.0),
    (100, 50, 1.0, 1.0),
    (255, 127.5, 1.0, 1.0),
    (1, 4, 2.0, 2.0),
    (0, 0, 0.0, 0.0),
    (0, 0.5, math.inf, 0.0),
    (0, 1, math.inf, 0.0),
    (0, 2, math.inf, 1.0),
    (0, 4, math.inf, 2.0),
]


@pytest.mark.parametrize(("clean", "adversarial", "kept", "floored"), RATIOS)
def test_ratios_are_used_on_a_logarithmic_scale_and_from_zero_by_the_choice_of_zeros(clean, adversarial, kept, floored):
    """Of two pixels the other one stays: the largest counts."""
    before, after = (torch.tensor([[value, 90.0]]) / 255 for value in (clean, adversarial))
    for zeros, expected in (("keep", kept), ("floor", floored)):
        found = RatioLinf(epsilon=2.0, step_size=1.5, zeros=zeros).ratio_to_bound(after, before)
        assert found.tolist() == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(("zeros", "level"), [("keep", 0), ("floor", 2)])
def test_the_lattice_keeps_zeros_or_lets_them_grow(zeros, level):
    """A pixel at 3 levels instead of 0; twice 1/255 is the most that a floor allows."""
    ratio = RatioLinf(epsilon=2.0, step_size=1.5, zeros=zeros)
    assert (ratio.quantize(torch.full((1, 1), 3 / 255), torch.zeros(1, 1)) * 255).round().item() == level


@pytest.mark.parametrize(("zeros", "stepped", "projected"), [("keep", 0, 0), ("floor", 1.5, 2)])
def test_a_step_and_a_projection_each_keep_zeros_or_let_them_grow(zeros, stepped, projected):
    ratio, black, one = RatioLinf(epsilon=2.0, step_size=1.5, zeros=zeros), torch.zeros(1, 1), torch.ones(1, 1)
    assert (ratio.step(black, one, []) * 255).item() == pytest.approx(stepped)
    assert (ratio.project(3 / 255 * one, black) * 255).item() == pytest.approx(projected)
