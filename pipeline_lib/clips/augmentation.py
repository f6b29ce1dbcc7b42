"""Augmentation: random changes of the training clips, drawn from one generator for each clip."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.entries.ranges import Natural, method


class Augmentation(Protocol):
    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Clips (N, C, T, H, W) in [0, 1] -> the same shape; result n depends on clip n and generator n only."""


@method
class Unchanged:
    """No augmentation: the papers' training on videos."""

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return clips


@method
class CropAndFlip:
    """CIFAR-10's usual augmentation: a random crop of the clip padded by `padding` black pixels, and a horizontal flip
    with probability 1/2. All frames of a clip are changed in the same way.

    padding: black pixels on each side.
    """

    padding: Natural = 4

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        top, left, mirrored = torch.stack([self._draw(generator) for generator in generators]).to(clips.device).T
        rows = top[:, None] + torch.arange(clips.shape[3], device=clips.device)
        columns = left[:, None] + torch.arange(clips.shape[4], device=clips.device)
        columns = torch.where(mirrored[:, None] == 1, columns.flip(1), columns)
        padded = F.pad(clips, [self.padding] * 4).permute(0, 3, 4, 1, 2)
        numbers = torch.arange(len(clips), device=clips.device)
        return padded[numbers[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 4, 1, 2)

    def _draw(self, generator: torch.Generator) -> Tensor:
        """(3,): upper row and left column of the crop in the padded clip, and 1 if the clip is flipped, else 0."""
        ends = (2 * self.padding + 1, 2 * self.padding + 1, 2)
        draws = [torch.randint(end, (1,), generator=generator) for end in ends]
        return torch.cat(draws)
