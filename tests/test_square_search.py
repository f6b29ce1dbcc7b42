"""The shapes that a search by squares changes in an l2 ball, by hand (Andriushchenko et al., ECCV 2020, Eq. 2)."""

import pytest
import torch

from pipeline_lib.attacks.square_search import odd, pyramid, shifted, signed_pyramids
from pipeline_lib.attacks.squares import lengths_of

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


def test_two_pyramids_have_opposite_signs_are_turned_and_have_a_sign_per_channel():
    lying = torch.cat([pyramid(1, 3), -pyramid(2, 3)]) / 2**0.5
    made = signed_pyramids(3, torch.tensor([[0.7, 0.2, 0.3], [0.2, 0.9, 0.6]], dtype=torch.float64))
    torch.testing.assert_close(made[0], torch.stack([lying, -lying]))
    torch.testing.assert_close(made[1], torch.stack([-lying.T, lying.T]))


@pytest.mark.parametrize(
    ("side", "shape", "expected"), [(1, (8, 8), 3), (4, (8, 8), 5), (8, (8, 9), 7), (9, (9, 7), 7), (1, (2, 9), 1)]
)
def test_a_side_is_odd_at_least_three_and_fits_into_the_frame(side, shape, expected):
    assert odd((2, side, side), torch.Size([4, *shape])) == (2, expected, expected)


def test_a_pattern_lies_at_its_corner():
    patterns = torch.rand(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    made = shifted(patterns, torch.tensor([[0, 1, 2], [1, 4, 0]]), torch.Size([2, 7, 8]))
    assert made.shape == (2, 3, 1, 7, 8)
    assert torch.equal(made[0, :, 0, 1:4, 2:5], patterns[0])
    assert torch.equal(made[1, :, 0, 4:7, 0:3], patterns[1])


def test_the_smallest_square_is_one_pixel_of_one_frame_and_the_largest_the_clip():
    assert lengths_of(1e-6, (4, 8, 9)) == (1, 1, 1)
    assert lengths_of(1.0, (4, 8, 9)) == (4, 8, 8)
