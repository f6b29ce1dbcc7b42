"""Transforms of colors: frames with red, green and blue channels in [0, 1]."""

from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Bits, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.transforms.layout import require_rgb, without_rounding

# ITU-R BT.601, as in JPEG.
RED, GREEN, BLUE = 0.299, 0.587, 0.114


@method
class GreyScale:
    """All three channels become the luma."""

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    def __call__(self, clips: Tensor) -> Tensor:
        require_rgb(clips)
        return without_rounding(luma(clips)).expand_as(clips)


@method
class ColorQuantization:
    """Rounded in the color space YCbCr, and back: luma to 2^luma_bits levels, chroma to 2^chroma_bits - 1, so that
    gray stays gray. The defaults are our choice.

    luma_bits, chroma_bits: 1 to 8.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    luma_bits: Bits = 6
    chroma_bits: Bits = 4

    def __post_init__(self) -> None:
        if self.chroma_bits < 2:
            raise PipelineError("chroma_bits is 1: it leaves no color; use 2 or more, or grey_scale")

    def __call__(self, clips: Tensor) -> Tensor:
        require_rgb(clips)
        y = luma(clips)
        top, chroma = 2**self.luma_bits - 1, 2**self.chroma_bits - 2
        # Both chroma differences are in [-1, 1].
        blue = (clips[:, 2:] - y) / (1 - BLUE)
        red = (clips[:, :1] - y) / (1 - RED)
        y, blue, red = (y * top).round() / top, *((part * chroma / 2).round() / chroma * 2 for part in (blue, red))
        r, b = y + (1 - RED) * red, y + (1 - BLUE) * blue
        g = (y - RED * r - BLUE * b) / GREEN
        return torch.cat([r, g, b], dim=1).clamp(0, 1)


def luma(clips: Tensor) -> Tensor:
    """The luma of RGB clips, (N, 1, ...)."""
    return (RED * clips[:, :1]).add(clips[:, 1:2], alpha=GREEN).add(clips[:, 2:], alpha=BLUE)
