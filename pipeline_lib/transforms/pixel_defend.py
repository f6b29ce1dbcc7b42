"""PixelDefend: images are moved to where an autoregressive generator expects them (Song et al., ICLR 2018)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.entries.ranges import PixelChange, method
from pipeline_lib.transforms.bpda import Deterministic, Generator
from pipeline_lib.transforms.layout import on_frames

TOP = 255
ROUNDING = 1e-4  # of levels


@method
class PixelDefend:
    """Algorithm 1: pixel by pixel and channel by channel in raster order, the most probable of the 8-bit levels within
    `epsilon` of the input, given the levels chosen before.

    The choice has no gradient: Athalye et al. (ICML 2018) break it by BPDA. Frames of clips are purified one by one.

    generator: a model trained by `maximum_likelihood` (`pixelcnn`).
    epsilon: largest change of a value; the paper's is 16/255.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    generated_by: ClassVar[str] = "generator"
    needs: ClassVar[str] = "likelihood"

    generator: Generator
    epsilon: PixelChange = 16 / 255

    def learned(self, generator: nn.Module) -> Deterministic:
        return Purified(lambda images: most_probable(generator, images, self.epsilon))


@dataclass(frozen=True)
class Purified:
    """A transform of images as one of clips, without random numbers and without a gradient."""

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    purify: Callable[[Tensor], Tensor]

    def __call__(self, clips: Tensor) -> Tensor:
        return on_frames(self.purify, clips.detach())


def most_probable(generator: Any, images: Tensor, epsilon: float) -> Tensor:
    """Images (N, 3, H, W) of the greedily most probable levels within epsilon.

    generator: has `in_order(images, choose)` of `networks.generators.pixelcnn`. Where no level is within epsilon, the
    nearest is taken.
    """
    nearest = (images * TOP).round()
    lowest = ((images - epsilon) * TOP - ROUNDING).ceil().clamp(0, TOP).minimum(nearest)
    highest = ((images + epsilon) * TOP + ROUNDING).floor().clamp(0, TOP).maximum(nearest)
    reach = int(epsilon * TOP + ROUNDING) + 1
    offsets = torch.arange(-reach, reach + 1, device=images.device)

    def choose(row: int, column: int, channel: int, log_probabilities: Callable[[Tensor], Tensor]) -> Tensor:
        low, middle, high = (each[:, channel, row, column, None] for each in (lowest, nearest, highest))
        levels = torch.minimum(torch.maximum(middle + offsets, low), high)
        return levels.gather(1, log_probabilities(levels).argmax(1, keepdim=True)).squeeze(1)

    return generator.in_order(images, choose)
