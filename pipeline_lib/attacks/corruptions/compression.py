"""Coarse recompression by a video codec (UCF101-P: compression)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Severity, method
from pipeline_lib.recompression import recompressed

# By severity: -crf of h264 and h265, -q:v of mpeg2.
LEVELS = {"h264": (28, 33, 38, 43, 48), "h265": (28, 33, 38, 43, 48), "mpeg2": (5, 10, 16, 23, 31)}


@method
class CompressionCorruption:
    """A clip encoded with few bits and decoded: `h264` (x264), `h265` (x265) or `mpeg2`; chroma at half resolution.

    kind: the codec.
    severity: 1 to 5; the values are ours, as UCF101-P prints none.
    """

    kind: Literal["h264", "h265", "mpeg2"]
    severity: Severity = 3

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return recompressed(clips, self.kind, LEVELS[self.kind][self.severity - 1])

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)
