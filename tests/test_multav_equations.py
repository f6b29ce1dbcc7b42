"""The six printed equations of MultAV (Lo and Patel, AVSS 2021), written pixel by pixel in plain Python.

Steps: additive l-inf and l2, multiplicative l-inf and l2. Bounds: the l-inf and the l2 ratio bound.
"""

import math
import random

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.lp_perturbations import AdditiveL2, PrintedRatioL2, RatioL2
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf
from pipeline_lib.randomness.generators import clip_generators

SHAPE = (1, 3, 2, 4, 3)
PIXELS = math.prod(SHAPE)
LEVELS = [random.Random(0).choice([0, 1, 9, 40, 90, 128, 200, 254, 255]) for _ in range(PIXELS)]
WEIGHT = [random.Random(1).gauss(0, 1) if i % 7 else 0.0 for i in range(PIXELS)]
CLIP = [level / 255 for level in LEVELS]
# Where no pixel is black, 0.5 leaves room on both sides of the box.
GREY = [0.3 + 0.4 * i / PIXELS for i in range(PIXELS)]


def loss(clips: torch.Tensor) -> torch.Tensor:
    """Its slope is slope(), below."""
    return ((5 * clips).sin() * torch.tensor(WEIGHT, dtype=clips.dtype).view(SHAPE)).flatten(1).sum(1)


def slope(x: list[float]) -> list[float]:
    return [5 * math.cos(5 * v) * w for v, w in zip(x, WEIGHT, strict=True)]


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


def boxed(x: list[float]) -> list[float]:
    return [min(max(v, 0.0), 1.0) for v in x]


def length(x: list[float]) -> float:
    return math.sqrt(sum(v * v for v in x))


def additive_linf(x, clean, epsilon, alpha):
    moved = [v + alpha * sign(g) for v, g in zip(x, slope(x), strict=True)]
    return boxed([min(max(v, c - epsilon), c + epsilon) for v, c in zip(moved, clean, strict=True)])


def additive_l2(x, clean, epsilon, alpha):
    g = slope(x)
    moved = boxed([v + alpha * u / length(g) for v, u in zip(x, g, strict=True)])
    delta = [v - c for v, c in zip(moved, clean, strict=True)]
    return boxed([c + d * min(1.0, epsilon / length(delta)) for c, d in zip(clean, delta, strict=True)])


def multiplicative_linf(x, clean, epsilon, alpha):
    moved = [v * alpha ** sign(g) for v, g in zip(x, slope(x), strict=True)]
    return boxed([min(max(v, c / epsilon), c * epsilon) for v, c in zip(moved, clean, strict=True)])


def multiplicative_l2(x, clean, epsilon, alpha):
    g = slope(x)
    moved = [v * alpha ** (u / length(g)) for v, u in zip(x, g, strict=True)]
    change = [v / c - 1 if c > 0 else 0.0 for v, c in zip(moved, clean, strict=True)]
    factor = min(1.0, epsilon / max(length(change), 1e-300))
    return boxed([c + c * r * factor for c, r in zip(clean, change, strict=True)])


def printed_multiplicative_l2(x, clean, epsilon, alpha):
    g = slope(x)
    moved = [v * alpha ** (u / length(g)) for v, u in zip(x, g, strict=True)]
    ratio = [v / c if c > 0 else 0.0 for v, c in zip(moved, clean, strict=True)]
    factor = min(1.0, (epsilon + 1) / length(ratio))
    return boxed([c * r * factor for c, r in zip(clean, ratio, strict=True)])


CASES = [
    (AdditiveLinf, additive_linf, 4 / 255, 1.5 / 255),
    (AdditiveLinf, additive_linf, 4 / 255, 1.0),
    (AdditiveL2, additive_l2, 0.7, 0.3),
    (RatioLinf, multiplicative_linf, 1.04, 1.015),
    (RatioLinf, multiplicative_linf, 3.55, 1.7),
    (RatioLinf, multiplicative_linf, 1.7, 3.55),
    (RatioL2, multiplicative_l2, 0.8, 3.55),
    (RatioL2, multiplicative_l2, 160, 3.55),
    (PrintedRatioL2, printed_multiplicative_l2, 3.0, 3.55),
    (PrintedRatioL2, printed_multiplicative_l2, 160, 3.55),
]


@pytest.mark.parametrize("start", [CLIP, GREY], ids=["black and white", "grey"])
@pytest.mark.parametrize(("perturbation", "literal", "epsilon", "alpha"), CASES)
def test_each_step_is_the_printed_equation(perturbation, literal, epsilon, alpha, start):
    expected = start
    for steps in range(1, 6):
        expected = literal(expected, start, epsilon, alpha)
        ascent = Ascent(perturbation=perturbation(epsilon=epsilon, step_size=alpha), steps=steps)
        clips = torch.tensor(start, dtype=torch.float64).view(SHAPE)
        found = ascent(loss, clips, clip_generators(0, ["a"]))
        torch.testing.assert_close(found.flatten().tolist(), expected, rtol=0, atol=1e-12)
    assert expected != start


@pytest.mark.parametrize("epsilon", [1.04, 1.7, 3.55])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_ratio_bound_holds_for_every_pixel_that_is_not_black(epsilon, seed):
    """Also for 8-bit clips, in whole numbers: max(x', x) <= epsilon min(x', x)."""
    levels = torch.arange(256).repeat(3, 1)[None, :, None, None]
    clips = levels / 255
    ascent = Ascent(perturbation=RatioLinf(epsilon=epsilon, step_size=1 + 0.7 * (epsilon - 1)), steps=5)
    weight = torch.randn(clips.shape, generator=torch.Generator().manual_seed(seed))
    found = ascent(lambda c: (c * weight).flatten(1).sum(1), clips, clip_generators(0, ["a"]))
    stored = (ascent.quantize(found, clips) * 255).round().long()
    assert torch.equal(stored / 255, ascent.quantize(found, clips))
    assert torch.equal(stored[levels == 0], levels[levels == 0])
    for new, old in zip(stored[levels > 0].tolist(), levels[levels > 0].tolist(), strict=True):
        assert max(new, old) <= epsilon * min(new, old) * (1 + 1e-9)
    live = found[levels > 0] / clips[levels > 0]
    assert torch.maximum(live, 1 / live).max() <= epsilon * (1 + 1e-6)
    assert (stored != levels).any()


def test_the_printed_l2_bound_darkens_the_whole_clip():
    """Its ball of radius 161 excludes the clean clip of 40 x 112 x 112, whose ratios have norm 1227."""
    clips = torch.full((1, 3, 40, 112, 112), 200 / 255)
    ascent = Ascent(perturbation=PrintedRatioL2(epsilon=160, step_size=3.55), steps=1)
    found = ascent(lambda c: 0 * c.flatten(1).sum(1), clips, clip_generators(0, ["a"]))
    norm = math.sqrt(3 * 40 * 112 * 112)
    assert norm == pytest.approx(1226.9, abs=0.05)
    torch.testing.assert_close(found, clips * 161 / norm)
    assert ascent.ratio_to_bound(ascent.quantize(found, clips), clips).item() <= 1 + 1e-5
    assert ascent.ratio_to_bound(clips, clips).item() == pytest.approx(norm / 161, rel=1e-5)


def test_the_printed_l2_bound_holds_for_stored_clips():
    """Its radius is epsilon + 1: a pixel of level 101 has at most level 159.58, whose nearest one is outside."""
    printed = PrintedRatioL2(epsilon=0.58, step_size=1.5)
    level = torch.tensor([101.0]).view(1, 1, 1, 1, 1)
    for live, stored in ((150.4, 150), (150.6, 151), (159.57, 159)):
        found = printed.quantize(level * 0 + live / 255, level / 255) * 255
        assert found.item() == pytest.approx(stored, abs=1e-4)
