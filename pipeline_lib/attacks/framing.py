"""Framings without a climb on the attacked clip: one that is learned for all clips (Zajac et al., 2019), and baselines.

Clips are (N, C, T, H, W), or (N, C, H, W). A frame lies over the picture, or around it: then the clips come with a
black margin of its width, which whoever crafts has added, and the frame fills it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.perturbations import nearest_level
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.regions import Border, Region
from pipeline_lib.attacks.starts import Start
from pipeline_lib.entries.ranges import Count, Natural, Positive, method


@method
class FixedPattern:
    """What `start` shows, in `region`: an attack that asks nothing of the network.

    Framing's baselines: a border with `constant` 0 (black framing) or `uniform_box` (random framing).

    margin: black pixels that are added on each side of the picture first; the region is one of the larger picture.
    """

    adds_margin: ClassVar[str] = "margin"

    region: Region
    start: Start
    margin: Natural = 0

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        mask = self.region.mask(clips, generators)
        return torch.where(mask, self.start.first(clips, generators).clamp(0, 1), clips)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return nearest_level(adversarial, torch.zeros_like(clean), torch.ones_like(clean))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): the largest change, of at most 1; infinite where pixels outside the region changed."""
        changed = adversarial != clean
        largest = (adversarial - clean).abs().flatten(1).amax(1)
        return torch.where(self.region.admits(changed.any(1, keepdim=True)), largest, torch.inf)


@method
class Adam:
    """How a pattern is learned: Adam on batches of training clips; the defaults are the framing's authors'.

    Every `decay_every` epochs the learning rate is multiplied by `decay`.
    """

    epochs: Count = 60
    batch_size: Count = 32
    learning_rate: Positive = 0.03
    decay: Positive = 0.3
    decay_every: Count = 15


@method
class UniversalFraming:
    """A border of `width` pixels, the same on all frames of all clips: sigmoid of a pattern learned once for a model.

    Learned on training clips to raise the mean cross-entropy; starts grey.

    placement: `over` the picture, or `outside` of it, which enlarges it by the width on each side (the authors').
    """

    learned_by: ClassVar[str] = "learning"
    adds_margin: ClassVar[str] = "margin"

    width: Count
    learning: Adam
    placement: Literal["over", "outside"] = "over"

    @property
    def margin(self) -> int:
        return self.width if self.placement == "outside" else 0

    def pattern(self, shape: Sequence[int]) -> Tensor:
        """The first pattern for clips of `shape` (C, T, H, W) or (C, H, W): zeros (C, H, W); only the border counts."""
        return torch.zeros(shape[0], *shape[-2:])

    def show(self, pattern: Tensor, clips: Tensor) -> Tensor:
        """The clips in the frame; differentiable in the pattern."""
        between = [1] * (clips.dim() - 4)
        framing = pattern.sigmoid().view(pattern.shape[0], *between, *pattern.shape[1:])
        return torch.where(Border(width=self.width).mask(clips, []), framing, clips)

    def learned(self, pattern: Tensor) -> FixedPattern:
        """The attack that shows a learned pattern."""
        start = Pattern(attack=self, values=pattern)
        return FixedPattern(region=Border(width=self.width), start=start, margin=self.margin)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A learned framing as a start."""

    attack: UniversalFraming
    values: Tensor

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return self.attack.show(self.values.to(clips), clips)

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips
