"""A camera that is tilted, shakes or is displaced (UCF101-P: static and random rotation, translation)."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.corruptions.lattice import on_lattice
from pipeline_lib.attacks.parameters import as_clips, as_frames
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Severity, method
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
        frames = as_frames(clips)
        count = clips.shape[2] if clips.dim() == 5 else 1
        matrices = torch.cat([self._matrices(count, clips.shape[-2:], g) for g in generators]).to(clips)
        grid = F.affine_grid(matrices, [*frames.shape], align_corners=False)
        moved = F.grid_sample(frames, grid, padding_mode="border", align_corners=False)
        return as_clips(moved, clips).clamp(0, 1)

    def _matrices(self, count: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
        """(count, 2, 3)"""
        level = LEVELS[self.kind][self.severity - 1]
        drawn = 2 * torch.rand((count, 2), generator=generator) - 1
        height, width = size
        if self.kind == "translation":
            shift = 2 * level * min(size) * drawn / torch.tensor([width, height])
            return torch.cat([torch.eye(2).expand(count, 2, 2), shift[:, :, None]], 2)
        angle = torch.full((count,), float(level)) if self.kind == "static_rotation" else level * drawn[:, 0]
        sine, cosine = (angle * math.pi / 180).sin(), (angle * math.pi / 180).cos()
        zero = torch.zeros(count)
        rows = torch.stack([cosine, sine * height / width, zero, -sine * width / height, cosine, zero], 1)
        return rows.view(count, 2, 3)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)
