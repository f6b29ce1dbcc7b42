"""Transforms of gray levels."""

from typing import ClassVar

from torch import Tensor
from torchvision.transforms.v2.functional import equalize_image

from pipeline_lib.entries.ranges import Bits, method
from pipeline_lib.pictures import as_bytes
from pipeline_lib.transforms.layout import on_planes


@method
class BitDepth:
    """round(x (2^bits - 1)) / (2^bits - 1) (Xu et al., 2018). A comparison of Halftone's; its bits are not printed.

    bits: of each value.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    bits: Bits = 3

    def __call__(self, clips: Tensor) -> Tensor:
        top = 2**self.bits - 1
        return (clips * top).round() / top


@method
class HistogramEqualization:
    """Histogram equalization of every channel of every frame over the 8-bit levels, as Pillow's `ImageOps.equalize`."""

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    def __call__(self, clips: Tensor) -> Tensor:
        return on_planes(equalize_image, as_bytes(clips)).to(clips.dtype) / 255
