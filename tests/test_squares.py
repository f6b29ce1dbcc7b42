"""Squares of Square attack: their size and places, and the schedule of their sizes."""

import pytest
import torch

from pipeline_lib.attacks.squares import Anywhere, InRegion, fraction_at, frames_of


def test_squares_have_the_size_that_they_are_given():
    places = torch.rand(5000, 3, generator=torch.Generator().manual_seed(2))
    images = Anywhere(shape=(1, 9, 7)).at(places, 9 / 63)
    assert images.shape == (5000, 1, 1, 9, 7)
    assert (images.flatten(1).sum(1) == 9).all()
    assert images.any(0).all()
    videos = Anywhere(shape=(8, 8, 8)).at(places, 1 / 8)
    assert (videos.flatten(1).sum(1) == 64).all()
    assert (videos.flatten(3).any(-1).sum(-1) == 4).all()
    assert videos.any(0).all()


def test_squares_in_a_region_are_its_nearest_pixels():
    places = torch.rand(500, 3, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(500, 1, 1, 6, 6, dtype=torch.bool)
    mask[..., 1:5, 2:6] = True
    found = InRegion.of_mask(mask).at(places, 4 / 16)
    assert not (found & ~mask).any()
    assert torch.equal(found.any(0), mask[0])
    # Four pixels at a corner of the rectangle; elsewhere all within a distance of one.
    assert set(found.flatten(1).sum(1).tolist()) == {4, 6, 9}
    single = InRegion.of_mask(mask).at(places, 1 / 16)
    assert (single.flatten(1).sum(1) == 1).all()
    nothing = InRegion.of_mask(torch.zeros_like(mask)).at(places, 0.5)
    assert not nothing.any()


def test_the_schedule_is_that_of_the_authors():
    """Sizes at 10,000 queries (their p_selection)."""
    steps = {10: 1, 11: 2, 50: 2, 200: 4, 500: 8, 1000: 16, 2000: 32, 4000: 64, 6000: 128, 8000: 256, 9999: 512}
    assert {query: 0.8 / fraction_at(query / 10_000, 0.8) for query in steps} == steps


@pytest.mark.parametrize("fraction", [1 / 8, 1 / 64])
def test_squares_in_a_region_of_several_frames_cover_that_fraction_of_it(fraction):
    """Neighboring frames, and in each the nearest pixels, of which some are equally far."""
    places = torch.rand(500, 3, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(500, 1, 8, 6, 6, dtype=torch.bool)
    mask[..., 1:5, 2:6] = True
    found = InRegion.of_mask(mask).at(places, fraction)
    pixels = found[:, 0].flatten(2).sum(-1)
    frames = frames_of(fraction, 8)
    assert ((pixels > 0).sum(1) == frames).all()
    assert (((pixels > 0).byte().diff(dim=1) != 0).sum(1) <= 2).all()
    own = max(round(fraction * 8 / frames * 16), 1)
    assert pixels[pixels > 0].min() >= own
    assert pixels.max() <= (2 * own**0.5 + 1) ** 2
    assert not (found & ~mask).any()


def nearest_in_each_frame(mask: torch.Tensor, places: list[float], fraction: float) -> torch.Tensor:
    """Of one clip's region (T, H, W): the frames of a square, and in each the pixels up to the distance of the last."""
    total = len(mask)
    frames, found = frames_of(fraction, total), torch.zeros_like(mask)
    first = int(places[0] * (total - frames + 1))
    for t in range(first, first + frames):
        pixels = mask[t].nonzero().tolist()  # in rows
        if pixels:
            row, column = pixels[int(places[1] * len(pixels))]
            distances = [max(abs(r - row), abs(c - column)) for r, c in pixels]
            radius = sorted(distances)[max(round(fraction * total / frames * len(pixels)) - 1, 0)]
            for (r, c), distance in zip(pixels, distances, strict=True):
                found[t, r, c] = distance <= radius
    return found


@pytest.mark.parametrize("total", [1, 3, 8])
@pytest.mark.parametrize("fraction", [1.0, 0.75, 1 / 4, 1 / 8, 1 / 32])
def test_squares_in_a_region_are_those_of_a_loop_over_its_pixels(total, fraction):
    """Regions of more than half of the frame, so that many pixels are equally far, of one pixel and of none."""
    source = torch.Generator().manual_seed(4)
    mask = torch.rand(20, 1, total, 6, 7, generator=source) < torch.linspace(0, 0.9, 20).view(-1, 1, 1, 1, 1)
    mask[0] = False
    mask[1] = False
    mask[1, ..., 2, 3] = True
    places = torch.rand(20, 3, generator=source)
    found = InRegion.of_mask(mask).at(places, fraction)
    expected = [nearest_in_each_frame(one, at, fraction) for one, at in zip(mask[:, 0], places.tolist(), strict=True)]
    assert torch.equal(found[:, 0], torch.stack(expected))
