"""Framings without gradients of the attacked clip: one learned for all clips (Zajac et al., 2019), and baselines.

Clips are (N, C, T, H, W), or (N, C, H, W). A frame covers the edges of the picture, or surrounds it: the caller then
pads the clips by a black margin of its width, which the frame fills.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.regions import Border, Region
from pipeline_lib.attacks.starts import Start
from pipeline_lib.entries.ranges import Count, Natural, Positive, method


@method
class FixedPattern:
    """The pattern `start` inside `region`: an attack that does not use the network.

    Framing's baselines: a border with `constant` 0 (black framing) or `uniform_box` (random framing).

    margin: black pixels added on each side of the picture first; the region is one of the padded picture.
    region: the pixels that are replaced.
    start: what they become.
    """

    adds_margin: ClassVar[str] = "margin"

    region: Region
    start: Start
    margin: Natural = 0

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        mask = self.region.mask(clips, generators)
        return torch.where(mask, self.start.first(clips, generators).clamp(0, 1), clips)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): the largest change, at most 1; infinite where pixels outside the region changed."""
        changed = adversarial != clean
        largest = (adversarial - clean).abs().flatten(1).amax(1)
        return torch.where(self.region.admits(changed.any(1, keepdim=True)), largest, torch.inf)


@method
class Adam:
    """Learning of a pattern by Adam on batches of training clips; the defaults are those of the framing's authors.

    Every `decay_every` epochs the learning rate is multiplied by `decay`.

    epochs: over the training clips.
    batch_size: clips per step.
    learning_rate: of the first epochs.
    decay: factor of the learning rate.
    decay_every: epochs between two decays.
    """

    epochs: Count = 60
    batch_size: Count = 32
    learning_rate: Positive = 0.03
    decay: Positive = 0.3
    decay_every: Count = 15


@method
class UniversalFraming:
    """A border of `width` pixels, the same on all frames of all clips: sigmoid of a pattern learned once for a model.

    It maximizes the mean cross-entropy of training clips, and starts gray.

    placement: `over` the picture, or `outside` of it, which pads it by the width on each side (the authors' form).
    width: of the border in pixels.
    learning: how the pattern is learned (`adam`).
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
        """The first pattern for clips of `shape` (C, T, H, W) or (C, H, W): zeros (C, H, W), used at the border."""
        return torch.zeros(shape[0], *shape[-2:])

    def show(self, pattern: Tensor, clips: Tensor) -> Tensor:
        """The clips with the frame; differentiable in the pattern."""
        between = [1] * (clips.dim() - 4)
        framing = pattern.sigmoid().view(pattern.shape[0], *between, *pattern.shape[1:])
        return torch.where(Border(width=self.width).mask(clips, []), framing, clips)

    def learned(self, pattern: Tensor) -> FixedPattern:
        """The attack that applies a learned pattern."""
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
