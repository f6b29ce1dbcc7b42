"""A camera that is tilted, shakes or is displaced (UCF101-P: static and random rotation, translation)."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.resampling import moved
from pipeline_lib.entries.ranges import Severity, method
from pipeline_lib.pictures import as_clips, as_pictures, frames_of
from pipeline_lib.randomness.generators import require_one_each

# By severity: degrees; fraction of the shorter side.
LEVELS = {
    "static_rotation": (5, 10, 15, 20, 25),
    "random_rotation": (5, 10, 15, 20, 25),
    "translation": (0.05, 0.1, 0.15, 0.2, 0.25),
}


@method
class CameraCorruption:
    """`static_rotation`: the same angle in all frames; `random_rotation`: an angle up to it drawn for each frame;
    `translation`: a shift drawn for each frame. Bilinear; the edge's pixels are repeated outside of the frame.

    kind: of the motion.
    severity: 1 to 5; the values are ours, as UCF101-P prints none.
    """

    kind: Literal["static_rotation", "random_rotation", "translation"]
    severity: Severity = 3

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        require_one_each(generators, clips)
        count = frames_of(clips)
        motions = torch.cat([self._motions(count, min(clips.shape[-2:]), g) for g in generators]).to(clips)
        angle, down, right = motions.unbind(1)
        return as_clips(moved(as_pictures(clips), angle, down, right, "edge"), clips).clamp(0, 1)

    def _motions(self, count: int, side: int, generator: torch.Generator) -> Tensor:
        """(count, 3): angle in radians (clockwise), shift down and to the right in pixels, of each frame."""
        level, motions = LEVELS[self.kind][self.severity - 1], torch.zeros(count, 3)
        drawn = 2 * torch.rand((count, 2), generator=generator) - 1
        if self.kind == "translation":
            motions[:, 1:] = level * side * drawn
        else:
            motions[:, 0] = math.radians(level) * (1 if self.kind == "static_rotation" else drawn[:, 0])
        return motions

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)
