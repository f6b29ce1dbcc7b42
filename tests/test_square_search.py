"""The shapes that a search by squares changes in an l2 ball, by hand (Andriushchenko et al., ECCV 2020, Eq. 2)."""

import pytest
import torch

from pipeline_lib.attacks.norms import l2_norm, of_clip
from pipeline_lib.attacks.square_search import BetweenEnds, InL2Ball, odd, pyramid, shifted, signed_pyramids
from pipeline_lib.attacks.squares import InRegion, boxes, corners, lengths_of

# Sums of 1 / k^2 from the distance to the center, of three and of five pixels.
NEAR, FAR = 1 + 1 / 4, 1 / 4
CENTER, NEXT, EDGE = 1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9


def one_long(rows: list[list[float]]) -> torch.Tensor:
    values = torch.tensor(rows, dtype=torch.float64)
    return values / values.norm()


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((3, 3), [[FAR] * 3, [FAR, NEAR, FAR], [FAR] * 3]),
        ((1, 3), [[FAR, NEAR, FAR]]),
        ((2, 5), [[EDGE, NEXT, NEXT, NEXT, EDGE], [EDGE, NEXT, CENTER, NEXT, EDGE]]),
    ],
)
def test_a_pyramid_is_the_sum_of_inverse_squares_from_its_center(shape, rows):
    torch.testing.assert_close(pyramid(*shape), one_long(rows))


@pytest.mark.parametrize(("side", "upper"), [(3, 1), (4, 2), (5, 2), (7, 3)])
def test_two_pyramids_have_opposite_signs_are_turned_and_have_a_sign_per_channel(side, upper):
    lying = torch.cat([pyramid(upper, side), -pyramid(side - upper, side)]) / 2**0.5
    made = signed_pyramids(side, torch.tensor([[0.7, 0.2, 0.3], [0.2, 0.9, 0.6]], dtype=torch.float64))
    torch.testing.assert_close(made[0], torch.stack([lying, -lying]))
    torch.testing.assert_close(made[1], torch.stack([-lying.T, lying.T]))


@pytest.mark.parametrize(
    ("side", "shape", "expected"), [(1, (8, 8), 3), (4, (8, 8), 5), (8, (8, 9), 7), (9, (9, 7), 7), (1, (2, 9), 1)]
)
def test_a_side_is_odd_at_least_three_and_fits_into_the_frame(side, shape, expected):
    assert odd((2, side, side), torch.Size([4, *shape])) == (2, expected, expected)


def test_a_pattern_lies_at_its_corner():
    patterns = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    made = shifted(patterns, torch.tensor([[0, 1, 2], [1, 4, 0]]), torch.Size([2, 9, 8]))
    assert made.shape == (2, 3, 1, 9, 8)
    assert torch.equal(made[0, :, 0, 1:6, 2:7], patterns[0])
    assert torch.equal(made[1, :, 0, 4:9, 0:5], patterns[1])


def test_the_smallest_square_is_one_pixel_of_one_frame_and_the_largest_the_clip():
    assert lengths_of(1e-6, (4, 8, 9)) == (1, 1, 1)
    assert lengths_of(1.0, (4, 8, 9)) == (4, 8, 8)


@pytest.mark.parametrize(("fraction", "side"), [(1.0, 4), (1 / 4, 4), (1 / 16, 2), (1 / 64, 1)])
def test_a_side_is_the_root_of_the_area_and_fits_into_frames_that_are_not_square(fraction, side):
    assert lengths_of(fraction, (1, 4, 16)) == lengths_of(fraction, (1, 16, 4)) == (1, side, side)


def in_ball(shape: tuple[int, int, int], radius: float = 1.0, clips: int = 3) -> InL2Ball:
    """A search in gray clips of three channels that projects nothing, with three queries."""
    source, gray = torch.Generator().manual_seed(5), torch.full((clips, 3, *shape), 0.5)
    tiles, draws = torch.rand(clips, 25, 4, generator=source), torch.rand(clips, 3, 10, generator=source)
    return InL2Ball(clips=gray, radius=radius, project=lambda made, clean: made, tiles=tiles, draws=draws)


@pytest.mark.parametrize(
    ("size", "side", "tiles"),
    [((4, 4), 1, (4, 4)), ((3, 9), 1, (3, 5)), ((9, 7), 1, (5, 5)), ((13, 11), 2, (5, 5)), ((15, 30), 3, (5, 5))],
)
def test_the_first_change_in_a_ball_is_a_grid_of_at_most_five_squares_in_a_row(size, side, tiles):
    search = in_ball((2, *size), radius=0.7)
    expected = torch.zeros_like(search.clips)
    for number in range(tiles[0] * tiles[1]):
        row, column = side * (number // tiles[1]), side * (number % tiles[1])
        pattern = signed_pyramids(side, search.tiles[:, number])
        expected[..., row : row + side, column : column + side] = pattern[:, :, None]
    expected = expected * 0.7 / expected.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(search.first(), search.clips + expected)


def literal(search: InL2Ball, change: torch.Tensor, number: int, query: int, lengths: tuple[int, ...]) -> torch.Tensor:
    """The change of one clip (C, T, H, W) after a query, channel by channel."""
    draws, signs = search.draws[number, query].tolist(), search.draws[number : number + 1, query, 6:]
    places = []
    for drawn in (draws[:3], draws[3:6]):
        free = [size - length + 1 for size, length in zip(change.shape[1:], lengths, strict=True)]
        first = [int(u * n) for u, n in zip(drawn, free, strict=True)]
        places.append(tuple(slice(at, at + length) for at, length in zip(first, lengths, strict=True)))
    pyramids = signed_pyramids(lengths[1], signs)[0]
    unused = max(search.radius**2 - change.norm().item() ** 2, 0.0) / len(change)
    found = change.clone()
    for channel, before, pattern in zip(found, change, pyramids, strict=True):
        new = pattern.expand(lengths) / lengths[0] ** 0.5 + before[places[0]] / before[places[0]].norm()
        both = torch.zeros_like(before, dtype=torch.bool)
        both[places[0]] = both[places[1]] = True
        channel[places[1]] = 0
        channel[places[0]] = (unused + (before * both).norm() ** 2).sqrt() * new / new.norm()
    return found * search.radius / found.norm()


@pytest.mark.parametrize(
    ("shape", "fraction", "lengths"),
    [
        ((4, 6, 9), 0.1, (2, 3, 3)),
        ((3, 8, 9), 0.3, (2, 7, 7)),
        ((2, 4, 9), 1.0, (2, 3, 3)),
        ((1, 9, 6), 0.4, (1, 5, 5)),
    ],
)
@pytest.mark.parametrize("part", [0.4, 1.0])
def test_a_query_in_a_ball_is_that_of_the_authors_channel_by_channel(shape, fraction, lengths, part):
    """Andriushchenko et al., Algorithm 3; `part` of the radius is used before."""
    search = in_ball(shape, radius=0.7)
    change = torch.randn(search.clips.shape, generator=torch.Generator().manual_seed(6))
    change = change * part * 0.7 / change.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
    for query in range(3):
        expected = torch.stack([literal(search, one, i, query, lengths) for i, one in enumerate(change)])
        found = search.following(search.clips + change, query, fraction)
        torch.testing.assert_close(found, search.clips + expected, atol=1e-5, rtol=0)


def between_ends() -> BetweenEnds:
    source, gray = torch.Generator().manual_seed(5), torch.full((3, 3, 2, 8, 9), 0.5)
    region = torch.rand(3, 1, 2, 8, 9, generator=source) < 0.5
    stripes, draws = torch.rand(3, 3, 9, generator=source), torch.rand(3, 3, 6, generator=source)
    ends = {"low": gray - 0.1 * torch.rand(gray.shape, generator=source), "high": gray + 0.1}
    squares = InRegion.of_mask(region)
    return BetweenEnds(clips=gray, **ends, region=region, squares=squares, stripes=stripes, draws=draws)


@pytest.mark.parametrize("make", [lambda: in_ball((2, 8, 9)), between_ends], ids=["ball", "ends"])
def test_a_search_for_some_of_the_clips_is_the_part_of_all(make):
    search, rows = make(), torch.tensor([2, 0])
    some = search.of(rows)
    assert torch.equal(some.first(), search.first()[rows])
    best = search.first()
    assert torch.equal(some.following(best[rows], 1, 0.2), search.following(best, 1, 0.2)[rows])


@pytest.mark.parametrize("radius", [0.5, 3.0])
@pytest.mark.parametrize("length", [0.3, 1.0])
def test_a_query_in_an_l2_ball_changes_two_squares_and_uses_the_whole_radius(radius, length):
    """The changed square gets the length of both, and what the change lacked to the radius: no other pixel changes."""
    clips, uniform = torch.zeros(3, 3, 4, 8, 8), torch.Generator().manual_seed(5)
    draws = torch.rand(3, 1, 2 * 3 + 4, generator=uniform)
    search = InL2Ball(
        clips=clips, radius=radius, project=lambda made, clean: made, tiles=torch.rand(3, 25, 4), draws=draws
    )
    change = torch.randn(clips.shape, generator=uniform)
    best = change / l2_norm(change, of_clip(change)) * radius * length
    found = search.following(best, 0, 0.1)
    torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.full((3,), radius))
    lengths = odd(lengths_of(0.1, clips.shape[2:]), clips.shape[2:])
    first, second = (corners(draws[:, 0, at : at + 3], lengths, clips.shape[2:]) for at in (0, 3))
    touched = boxes(first, lengths, clips.shape[2:]) | boxes(second, lengths, clips.shape[2:])
    torch.testing.assert_close(found * ~touched, best * ~touched)
    assert (found != best).flatten(1).any(1).all()
