"""Translations and rotations (Engstrom, Tran, Tsipras, Schmidt and Madry, ICML 2019), the same for all frames."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_lib.attacks.parameters import Drawn, uniform
from pipeline_lib.attacks.resampling import moved
from pipeline_lib.entries.ranges import NonNegative, method
from pipeline_lib.pictures import as_clips, as_pictures, per_picture


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
        angle, right, down = per_picture(pose, clips).unbind(1)
        shifts = self.translation * down, self.translation * right
        frames = moved(as_pictures(clips), math.radians(self.rotation) * angle, *shifts, "black")
        return as_clips(frames, clips).clamp(0, 1)
