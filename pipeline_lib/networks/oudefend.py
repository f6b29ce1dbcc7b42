"""OUDefend: a network that restores its features by an over- and an undercomplete branch (Lo et al., ICIP 2021)."""

from collections.abc import Callable
from dataclasses import field
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.extension import Network, add_after, last_norm, stage_of
from pipeline_lib.networks.pooling import halved


def pointwise(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv3d(inputs, outputs, 1, bias=False)


def spatial(inputs: int, outputs: int, time: int) -> nn.Module:
    """A `time` x 3 x 3 convolution that keeps the size."""
    return nn.Conv3d(inputs, outputs, (time, 3, 3), padding=(time // 2, 1, 1), bias=False)


def rectified(features: Tensor) -> Tensor:
    """ReLU in place, after layers that do not need their own output for the backward pass."""
    return F.relu(features, inplace=True)


def enlarged(features: Tensor, height: int, width: int) -> Tensor:
    """Each frame of (N, C, T, H, W) interpolated to height x width."""
    frames = F.interpolate(features.flatten(1, 2), size=(height, width), mode="bilinear", align_corners=False)
    return frames.unflatten(1, features.shape[1:3])


class Overcomplete(nn.Module):
    """O-branch, (N, b, T, H, W) -> the same shape: up to 8 times the height and width, and back.

    The inner layers have a smaller receptive field and finer detail. Skip connections join layers of equal size.
    """

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.encoder = nn.ModuleList(spatial(a, b, time) for a, b in pairwise(widths))
        self.skips = nn.ModuleList(pointwise(b, b) for b in widths[1:-1])
        self.decoder = nn.ModuleList(spatial(a, b, time) for a, b in pairwise(reversed(widths)))

    def forward(self, features: Tensor) -> Tensor:
        skipped = []
        for i, convolution in enumerate(self.encoder):
            height, width = features.shape[3:]
            features = rectified(enlarged(convolution(features), 2 * height, 2 * width))
            if i < len(self.skips):
                skipped.append(rectified(self.skips[i](features)))
        for convolution in self.decoder:
            features = rectified(halved(convolution(features)))
            if skipped:
                features = features + skipped.pop()
        return features


class Undercomplete(nn.Module):
    """U-branch, (N, b, T, H, W) -> the same shape: down to half the height and width, and back."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.encoder = spatial(width, 2 * width, time)
        self.decoder = spatial(2 * width, width, time)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[3:]
        if min(height, width) < 2:
            raise PipelineError(
                f"after: OUDefend halves its features, and these are {height} x {width}: choose an earlier stage"
            )
        small = rectified(halved(self.encoder(features)))
        return rectified(enlarged(self.decoder(small), height, width))


def both(width: int, time: int) -> list[nn.Module]:
    mixed = nn.Sequential(Undercomplete(width, time), pointwise(width, width), nn.ReLU(inplace=True))
    return [Overcomplete(width, time), mixed]


# The authors' networks with one branch have no convolution between the branch and the last convolution.
BRANCHES: dict[str, Callable[[int, int], list[nn.Module]]] = {
    "both": both,
    "o": lambda width, time: [Overcomplete(width, time)],
    "u": lambda width, time: [Undercomplete(width, time)],
}


class OUBlock(nn.Module):
    """x -> ReLU(x + outer(restored)), where the branches restore x in `width` channels; (N, C, T, H, W) throughout.

    time: length of the kernels in time, 3 for videos and 1 for images.
    """

    def __init__(self, channels: int, width: int, branches: str, outer: nn.Module, time: int = 3) -> None:
        super().__init__()
        self.reduce = pointwise(channels, width)
        self.parts = nn.ModuleList(BRANCHES[branches](width, time))
        self.expand = pointwise(width, channels)
        self.outer = outer

    def forward(self, features: Tensor) -> Tensor:
        reduced = rectified(self.reduce(features))
        branched = torch.stack([part(reduced) for part in self.parts]).sum(0)
        restored = rectified(self.expand(branched))
        return rectified(features + self.outer(restored))


@method
class OUDefend:
    """`network` with an OUDefend block after each stage of `after` (OUDefend, Fig. 1; conv4 is layer3).

    width: channels of the branches (b); the paper prints 0.6M parameters more for 3D ResNet-18, which is b = 16, the
    authors' code has 8. branches: "u" and "o" keep one of the two. outer: "convolution" is the 1x1x1 convolution
    around the block, "none" omits it.
    network: the one that gets the blocks.
    after: its stages that get one.
    """

    wraps: ClassVar[str] = "network"
    after_stages: ClassVar[str] = "after"

    network: Network
    after: list[str] = field(default_factory=lambda: ["layer3"])
    width: Count = 16
    branches: Literal["both", "o", "u"] = "both"
    outer: Literal["convolution", "none"] = "convolution"

    def __call__(self, classes: int) -> nn.Module:
        network = self.network(classes)
        for stage in self.after:
            norm = last_norm(stage_of(network, stage))
            add_after(network, stage, "oudefend", self._block(norm.num_features, isinstance(norm, nn.BatchNorm2d)))
        return network

    def _block(self, channels: int, images: bool) -> nn.Module:
        outer = pointwise(channels, channels) if self.outer == "convolution" else nn.Identity()
        return OUBlock(channels, self.width, self.branches, outer, time=1 if images else 3)
