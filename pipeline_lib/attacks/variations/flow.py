"""Spatial transformation by a small flow field (Xiao et al., ICLR 2018, stAdv)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.parameters import Drawn, uniform
from pipeline_lib.attacks.resampling import coordinates, enlarged, sampled
from pipeline_lib.entries.ranges import Levels, NonNegative, Positive, method
from pipeline_lib.pictures import as_clips, as_pictures, frames_of, per_picture


@method
class SmallFlow:
    """Every pixel is taken from a place a bit aside, bilinear; the edge's pixels are repeated outside of the frame.

    The flow is a bilinear interpolation of a grid of vectors, so it is smooth; the paper's has a vector for each pixel
    and a cost only.

    pixels: largest shift along each axis.
    grid: vectors along each side.
    per: one flow for all frames of a `video`, or one for each `frame`.
    smoothness: weight of the mean squared difference of adjacent vectors, in units of `pixels`, in the cost.
    """

    pixels: Positive = 1.0
    grid: Levels = 8
    per: Literal["video", "frame"] = "video"
    smoothness: NonNegative = 0.0

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        count = frames_of(clips) if self.per == "frame" else 1
        first = uniform((count, 2, self.grid, self.grid), generators, clips)
        return Drawn(first, lambda flow: self._moved(clips, flow), self._cost)

    def _moved(self, clips: Tensor, flow: Tensor) -> Tensor:
        vectors = flow.flatten(0, 1) if flow.shape[1] > 1 else per_picture(flow[:, 0], clips)
        right, down = (self.pixels * enlarged(vectors, clips.shape[-2:])).unbind(1)
        rows, columns = coordinates(clips.shape[-2:], flow)
        return as_clips(sampled(as_pictures(clips), rows + down, columns + right, "edge"), clips).clamp(0, 1)

    def _cost(self, flow: Tensor) -> Tensor:
        across, down = flow.diff(dim=-1), flow.diff(dim=-2)
        return self.smoothness * (across.square().flatten(1).mean(1) + down.square().flatten(1).mean(1))
