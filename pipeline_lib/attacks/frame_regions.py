"""Temporally sparse regions: some frames of a clip."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import frames_of


@method
class SomeFrames:
    """All pixels of `count` frames (Wei, Zhu, Yuan and Su, AAAI 2019: perturbations of few frames spread to others).

    count: number of frames.
    choice: `even`, evenly spaced from the first frame on, the same in all clips; or `drawn` for each clip.
    """

    at_least_frames: ClassVar[str] = "count"

    count: Count
    choice: Literal["even", "drawn"] = "even"

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """bool (1 or N, 1, T, 1, 1). Raises PipelineError for clips with fewer frames."""
        frames = frames_of(clips)
        if self.count > frames:
            raise PipelineError(f"count is {self.count}: clips of {frames} frames are too short")
        chosen = self._drawn(frames, generators) if self.choice == "drawn" else self._even(frames)[None]
        return chosen.to(clips.device).reshape(len(chosen), *([1, frames] if clips.dim() == 5 else [1]), 1, 1)

    def _even(self, frames: int) -> Tensor:
        chosen = torch.zeros(frames, dtype=torch.bool)
        chosen[torch.arange(self.count) * frames // self.count] = True
        return chosen

    def _drawn(self, frames: int, generators: Sequence[torch.Generator]) -> Tensor:
        ranks = torch.stack([torch.randperm(frames, generator=generator) for generator in generators])
        return ranks < self.count

    def admits(self, changed: Tensor) -> Tensor:
        if changed.dim() == 4:
            return torch.ones(len(changed), dtype=torch.bool, device=changed.device)
        used = changed.flatten(3).any(3)[:, 0]
        return used.sum(1) <= self.count if self.choice == "drawn" else ~(used & ~self._even(used.shape[1])).any(1)
