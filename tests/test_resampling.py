"""Bilinear resampling is that of torch's `grid_sample`, inside and outside of the frame."""

import pytest
import torch
from torch.nn import functional as F

from pipeline_lib.attacks.resampling import enlarged, moved, sampled

FRAMES = torch.rand(3, 2, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("outside", "padding"), [("black", "zeros"), ("edge", "border")])
def test_pixels_between_pixels_are_those_of_grid_sample(outside, padding):
    uniform = torch.Generator().manual_seed(1)
    rows, columns = (torch.rand(3, 6, 8, generator=uniform) * (size + 4) - 2.5 for size in (5, 7))
    grid = torch.stack([2 * columns / 6 - 1, 2 * rows / 4 - 1], -1)
    expected = F.grid_sample(FRAMES, grid, mode="bilinear", padding_mode=padding, align_corners=True)
    torch.testing.assert_close(sampled(FRAMES, rows, columns, outside), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("outside", "left"), [("black", 0.0), ("edge", None)])
def test_a_shift_brings_in_what_is_outside(outside, left):
    zero = torch.zeros(3)
    found = moved(FRAMES, zero, zero + 1, zero + 2, outside)
    torch.testing.assert_close(found[..., 1:, 2:], FRAMES[..., :-1, :-2], atol=1e-5, rtol=0)
    brought = FRAMES[..., :-1, :1].expand(-1, -1, -1, 2) if left is None else torch.full((3, 2, 4, 2), left)
    torch.testing.assert_close(found[..., 1:, :2], brought, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(5, 7), (9, 15), (4, 30)])
def test_grids_are_enlarged_as_by_interpolate(size):
    expected = F.interpolate(FRAMES, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(enlarged(FRAMES, size), expected, atol=1e-5, rtol=0)
