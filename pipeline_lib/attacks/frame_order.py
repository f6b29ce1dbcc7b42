"""Dropped and repeated frames: the worst of several drawn orders, without gradients."""

from collections.abc import Sequence
from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.ascent import BestIterate
from pipeline_lib.attacks.goals import Goal, Untargeted
from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import frames_of
from pipeline_lib.randomness.generators import require_one_each


@method
class DroppedFrames:
    """`dropped` frames of a clip are lost, and each is replaced by the frame before it, as players do.

    The first frame is kept. Of `tries` drawn choices each clip keeps the one of largest loss, the clean clip included.

    dropped: number of lost frames; a clip needs more frames than that.
    tries: choices that are drawn; each costs one forward pass.
    goal: the caller makes the loss from it.
    """

    passes: ClassVar[str] = "tries + 1"
    forwards: ClassVar[str] = "tries + 1"
    at_least_frames: ClassVar[str] = "dropped + 1"
    offers_clean: ClassVar[bool] = True

    dropped: Count
    tries: Count = 20
    goal: Goal = field(default_factory=Untargeted)

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Clips with repeated frames; (N, C, T, H, W). Raises PipelineError for clips of too few frames."""
        require_one_each(generators, clips)
        frames = frames_of(clips)
        if frames <= self.dropped:
            raise PipelineError(f"dropped is {self.dropped}: clips of {frames} frames are too short")
        best = BestIterate(clips)
        with torch.no_grad():
            best.offer(clips, loss(clips))
            for _ in range(self.tries):
                order = torch.stack([self._order(frames, generator) for generator in generators]).to(clips.device)
                changed = in_order(clips, order)
                best.offer(changed, loss(changed))
        return best.clips

    def _order(self, frames: int, generator: torch.Generator) -> Tensor:
        """(T,): the source of each frame."""
        kept = torch.ones(frames, dtype=torch.bool)
        kept[1 + torch.randperm(frames - 1, generator=generator)[: self.dropped]] = False
        return torch.where(kept, torch.arange(frames), 0).cummax(0).values

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)


def in_order(clips: Tensor, order: Tensor) -> Tensor:
    """Frames (N, T) of clips (N, C, T, H, W)."""
    index = order[:, None, :, None, None].expand(-1, clips.shape[1], -1, *clips.shape[-2:])
    return clips.gather(2, index)
