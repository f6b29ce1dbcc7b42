"""Translations and rotations (Engstrom, Tran, Tsipras, Schmidt and Madry, ICML 2019), the same for all frames."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.parameters import Drawn, as_clips, as_frames, per_frame, uniform
from pipeline_lib.entries.ranges import NonNegative, method


@method
class TranslationRotation:
    """A rotation around the center, then a translation, bilinear; black outside of the frame, as in the paper.

    translation: largest shift in pixels along each axis.
    rotation: largest angle in degrees.
    """

    translation: NonNegative = 3.0
    rotation: NonNegative = 30.0

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        return Drawn(uniform((3,), generators, clips), lambda pose: self._moved(clips, pose))

    def _moved(self, clips: Tensor, pose: Tensor) -> Tensor:
        """pose (N, 3) in [-1, 1]: angle (clockwise), shift to the right, shift down."""
        frames = as_frames(clips)
        grid = F.affine_grid(
            per_frame(self._matrix(pose, clips.shape[-2:]), clips), [*frames.shape], align_corners=False
        )
        moved = F.grid_sample(frames, grid, padding_mode="zeros", align_corners=False)
        return as_clips(moved, clips).clamp(0, 1)

    def _matrix(self, pose: Tensor, size: Sequence[int]) -> Tensor:
        """(N, 2, 3): the position in the input, in [-1, 1], of each position of the output."""
        height, width = size
        angle = pose[:, 0] * math.radians(self.rotation)
        sine, cosine = angle.sin(), angle.cos()
        right, down = (2 * self.translation * pose[:, axis] / pixels for axis, pixels in ((1, width), (2, height)))
        ratio = height / width  # of the axes' units: a rotation is one of pixels
        rows = (
            torch.stack([cosine, sine * ratio, -right * cosine - down * sine * ratio], 1),
            torch.stack([-sine / ratio, cosine, right * sine / ratio - down * cosine], 1),
        )
        return torch.stack(rows, 1)
