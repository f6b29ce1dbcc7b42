"""What attacks compute with is on the device of the clips. `meta` is one that every machine has: shapes without values.

Tensors of two devices cannot be combined, so that a part made on the wrong one is an error.
"""

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2, PrintedRatioL2, RatioL2
from pipeline_lib.attacks.norms import _shrinkage
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf
from pipeline_lib.attacks.regions import AllPixels, Border, FirstSampleOnly, RandomPixels, RandomRectangle
from pipeline_lib.attacks.search import SearchedRectangle
from pipeline_lib.attacks.starts import AtClean, Constant, GaussianNoise, LogUniform, UniformBox, UniformNoise
from pipeline_lib.attacks.steepest import Steepest
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.empty(2, 3, 4, 12, 10, device="meta")
CHANGED = torch.empty(2, 1, 4, 12, 10, device="meta", dtype=torch.bool)
GENERATORS = clip_generators(0, ["a", "b"])
RECTANGLE = RandomRectangle(height=3, width=4)
REGIONS = [
    AllPixels(),
    RECTANGLE,
    RandomRectangle(height=3, width=4, per="video"),
    Border(width=2),
    RandomPixels(count=5),
    RandomPixels(count=5, replace=False),
    FirstSampleOnly(region=RECTANGLE),
    SearchedRectangle(height=3, width=4, search="gradient"),
]
STARTS = [
    AtClean(),
    UniformNoise(radius=0.1),
    LogUniform(ratio=1.5),
    UniformBox(radius=1.0),
    GaussianNoise(deviation=0.1),
    Constant(value=0.5),
]


@pytest.mark.parametrize("region", REGIONS)
def test_masks_and_verdicts_of_regions(region):
    mask = region.mask(CLIPS, GENERATORS)
    assert (mask.device.type, mask.dtype) == ("meta", torch.bool)
    assert mask.broadcast_to(CHANGED.shape).shape == CHANGED.shape
    verdict = region.admits(CHANGED)
    assert (verdict.device.type, verdict.dtype, verdict.shape) == ("meta", torch.bool, (2,))


@pytest.mark.parametrize("start", STARTS)
def test_starts_and_their_centers(start):
    for made in (start.first(CLIPS, GENERATORS), start.center(CLIPS, CHANGED)):
        assert (made.device.type, made.dtype, made.shape) == ("meta", CLIPS.dtype, CLIPS.shape)


def test_places_that_a_search_tries():
    """Their gradient scores and their rectangles, without the search itself, which compares values."""
    region = SearchedRectangle(height=3, width=4, search="gradient", stride=2, candidates=3)
    corners = region._corners(CLIPS)
    scores = region._scores(lambda clips: clips.flatten(1).sum(1), CLIPS)
    for frames in region._groups(CLIPS):
        tried = region._candidates(scores, frames, corners, CLIPS)
        shown = frames & region._at(corners[tried[:, 0]], CLIPS)
        assert (tried.shape, shown.device.type) == ((2, 3), "meta")


LINF = AdditiveLinf(epsilon=0.1, step_size=0.05)
PERTURBATIONS = [
    LINF,
    RatioLinf(epsilon=1.5, step_size=1.2, zeros="floor"),
    AdditiveL2(epsilon=1.0, step_size=0.5),
    RatioL2(epsilon=1.0, step_size=1.5, zeros="floor"),
    PrintedRatioL2(epsilon=1.0, step_size=1.5),
]


def total(clips: torch.Tensor) -> torch.Tensor:
    return clips.flatten(1).sum(1)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_whole_attacks(perturbation):
    found = Ascent(perturbation=perturbation, start=UniformNoise(radius=0.1), steps=2, keep="best")(
        total, CLIPS, GENERATORS
    )
    assert (found.device.type, found.shape) == ("meta", CLIPS.shape)
    assert perturbation.ratio_to_bound(found, CLIPS).shape == (2,)


def test_the_steepest_of_several():
    roa = Ascent(perturbation=LINF, region=RECTANGLE, steps=1)
    found = Steepest(attacks=[Ascent(perturbation=LINF, steps=1), roa], steps=2)(total, CLIPS, GENERATORS)
    assert (found.device.type, found.shape) == ("meta", CLIPS.shape)


def test_l1_steps():
    """Its projection asks for values, the threshold that it projects with does not."""
    moved = AdditiveL1(epsilon=1.0, step_size=0.1).step(CLIPS, torch.empty_like(CLIPS), GENERATORS)
    assert (moved.device.type, moved.shape) == ("meta", CLIPS.shape)
    assert _shrinkage(CLIPS.flatten(1), 1.0).shape == (2,)
