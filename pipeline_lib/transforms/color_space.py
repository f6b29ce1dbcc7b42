"""Clips in another color space: a network gets its three coordinates, scaled to [0, 1], instead of RGB."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import method
from pipeline_lib.transforms.color import BLUE, RED, luma
from pipeline_lib.transforms.layout import require_rgb, without_rounding

# IEC 61966-2-1 (sRGB), linear red, green, blue to CIE X, Y, Z; and the white point D65, its row sums.
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
LIMIT = 6 / 29  # below its cube, CIELAB's root is replaced by a line
LAB_RANGE = 128.0  # a and b of sRGB colors are between -108 and 99


@method
class ColorSpace:
    """`hsv`: hue, saturation, value; `yuv`: luma and two color differences (BT.601); `lab`: CIELAB of sRGB under D65.

    Differentiated exactly. The hue has a jump at red, and no gradient at gray.

    space: the color space; `rgb` changes nothing.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    space: Literal["rgb", "hsv", "yuv", "lab"]

    def __call__(self, clips: Tensor) -> Tensor:
        require_rgb(clips)
        convert: dict[str, Callable[[Tensor], Tensor]] = {"rgb": Tensor.clone, "hsv": hsv, "yuv": yuv, "lab": lab}
        return without_rounding(convert[self.space](clips))


def hsv(clips: Tensor) -> Tensor:
    """Hue as a fraction of a turn from red, saturation (largest - smallest) / largest, value: all in [0, 1]."""
    red, green, blue = clips.unbind(1)
    value, smallest = clips.amax(1), clips.amin(1)
    chroma = value - smallest
    divisor = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / divisor % 6,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    saturation = chroma / torch.where(value > 0, value, 1)
    return torch.stack([sixths / 6, saturation, value], 1)


def yuv(clips: Tensor) -> Tensor:
    """Luma, and the differences of blue and red from it, each from -1 to 1 scaled to 0 to 1."""
    y = luma(clips)
    blue, red = (clips[:, 2:] - y) / (1 - BLUE), (clips[:, :1] - y) / (1 - RED)
    return torch.cat([y, (1 + blue) / 2, (1 + red) / 2], 1)


def lab(clips: Tensor) -> Tensor:
    """CIELAB, scaled: L / 100, and a and b as 1/2 + a / 256."""
    linear = torch.where(clips <= 0.04045, clips / 12.92, ((clips.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(TO_XYZ).to(clips)
    relative = (matrix / matrix.sum(1, keepdim=True) @ linear.flatten(2)).view_as(clips)
    x, y, z = root(relative).unbind(1)
    a, b = 500 * (x - y), 200 * (y - z)
    return torch.stack([1.16 * y - 0.16, 0.5 + a / (2 * LAB_RANGE), 0.5 + b / (2 * LAB_RANGE)], 1)


def root(values: Tensor) -> Tensor:
    """CIELAB's f: the cube root, with a line near 0 where its slope would be infinite."""
    line = values / (3 * LIMIT**2) + 4 / 29
    return torch.where(values > LIMIT**3, values.clamp_min(LIMIT**3) ** (1 / 3), line)
