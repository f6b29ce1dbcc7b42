"""Transforms in the frequency domain."""

from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Fraction, method


@method
class FourierTruncation:
    """Keeps the lowest spatial frequencies of every channel of every frame, clamped to [0, 1].

    keep: fraction of the band that is kept in height and in width, 0 (the mean alone) to 1 (everything); the default is
    our choice. Differentiated exactly.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    keep: Fraction = 0.5

    def __call__(self, clips: Tensor) -> Tensor:
        height, width = clips.shape[-2:]
        rows = torch.fft.fftfreq(height, device=clips.device).abs() <= self.keep / 2
        columns = torch.fft.rfftfreq(width, device=clips.device) <= self.keep / 2
        spectrum = torch.fft.rfft2(clips) * (rows[:, None] & columns)
        return torch.fft.irfft2(spectrum, s=(height, width)).clamp(0, 1)
