"""Color spaces: the standard library's HSV, published CIELAB values, and gradients."""

import colorsys

import pytest
import torch

from pipeline_lib.transforms.color_space import ColorSpace, hsv, lab, yuv

COLORS = torch.rand(2, 3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
CORNERS = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3).T[None, :, :, None]


@pytest.mark.parametrize("colors", [COLORS, CORNERS], ids=["clips", "corners of the cube"])
def test_hsv_is_that_of_colorsys(colors):
    pixels = colors.movedim(1, -1).reshape(-1, 3)
    expected = torch.tensor([colorsys.rgb_to_hsv(*pixel) for pixel in pixels.tolist()])
    torch.testing.assert_close(hsv(colors).movedim(1, -1).reshape(-1, 3), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    ],
)
def test_cielab_of_srgb_colors(rgb, expected):
    light, a, b = lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1)).flatten().tolist()
    assert (100 * light, 256 * (a - 0.5), 256 * (b - 0.5)) == pytest.approx(expected, abs=0.02)


def test_yuv_of_gray_has_no_color_and_of_blue_the_largest_difference():
    gray, blue = (yuv(torch.tensor(rgb).view(1, 3, 1, 1)).flatten() for rgb in ([0.3, 0.3, 0.3], [0.0, 0.0, 1.0]))
    torch.testing.assert_close(gray, torch.tensor([0.3, 0.5, 0.5]))
    assert blue[1] == 1


@pytest.mark.parametrize("space", ["hsv", "yuv", "lab"])
def test_gradients_are_those_of_finite_differences(space):
    clips = COLORS[:1, :, :1].double().requires_grad_()
    assert torch.autograd.gradcheck(ColorSpace(space=space), clips, eps=1e-7, atol=1e-4)
    extreme = CORNERS.clone().requires_grad_()
    ColorSpace(space=space)(extreme).sum().backward()
    assert extreme.grad.isfinite().all()
