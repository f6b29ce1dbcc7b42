"""Residual blocks and their shortcuts, on clips and on images; state-dict names of Hara et al. and torchvision."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.pooling import MaxPool3d
from pipeline_lib.networks.stem import Stem3d

Shortcut = Callable[[int, int, int], nn.Module]

BLOCKS_PER_STAGE = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


class Layers(NamedTuple):
    """The layer classes for 2 or 3 dimensions, of torch or replacements; `stem` is the first convolution."""

    stem: Callable[..., nn.Module]
    convolution: Callable[..., nn.Module]
    norm: Callable[[int], nn.Module]
    pool: Callable[..., nn.Module]


LAYERS = {
    2: Layers(nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d),
    3: Layers(Stem3d, nn.Conv3d, nn.BatchNorm3d, MaxPool3d),
}


def convolution(layers: Layers, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """A convolution without bias that keeps the size at stride 1."""
    return layers.convolution(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)


class SubsampledIdentity(nn.Module):
    """Shortcut "A": every `stride`-th position, new channels filled with zeros; no parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.added = outputs - inputs

    def forward(self, features: Tensor) -> Tensor:
        dimensions = features.dim() - 2
        steps = [slice(None, None, self.stride)] * dimensions
        kept = features[(slice(None), slice(None), *steps)]
        return F.pad(kept, (0, 0) * dimensions + (0, self.added))


class DetachedIdentity(SubsampledIdentity):
    """The authors' shortcut "A": the same values without a gradient, in attacks and in training.

    Their code builds it from `out.data`.
    """

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.detach())


def projection(layers: Layers, inputs: int, outputs: int, stride: int) -> nn.Module:
    """Shortcut "B": a convolution with kernel 1, and BatchNorm."""
    return nn.Sequential(convolution(layers, inputs, outputs, 1, stride), layers.norm(outputs))


def shortcut_of(letter: str, layers: Layers, detached: bool) -> Shortcut:
    """(inputs, outputs, stride) -> shortcut. Raises PipelineError for an unknown letter, or "B" without a gradient."""
    if detached and letter != "A":
        raise PipelineError('detached: only the shortcut "A" may be without a gradient; remove the key')
    identity = DetachedIdentity if detached else SubsampledIdentity
    shortcuts: dict[str, Shortcut] = {"A": identity, "B": partial(projection, layers)}
    if letter not in shortcuts:
        raise PipelineError(f'shortcut: {letter!r} is unknown; choose "A" (subsampled identity) or "B" (convolution)')
    return shortcuts[letter]


class Basic(nn.Module):
    """Two convolutions with kernel 3, and a shortcut."""

    def __init__(self, layers: Layers, inputs: int, planes: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = convolution(layers, inputs, planes, 3, stride)
        self.bn1 = layers.norm(planes)
        self.conv2 = convolution(layers, planes, planes, 3)
        self.bn2 = layers.norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        return self.relu(self.bn2(self.conv2(features)).add_(shortcut))


class Bottleneck(nn.Module):
    """Convolutions with kernels 1, 3 (in `cardinality` groups, with the stride) and 1, and a shortcut."""

    def __init__(
        self,
        layers: Layers,
        inputs: int,
        planes: int,
        stride: int,
        downsample: nn.Module | None,
        expansion: int,
        cardinality: int,
    ) -> None:
        super().__init__()
        self.conv1 = convolution(layers, inputs, planes, 1)
        self.bn1 = layers.norm(planes)
        self.conv2 = convolution(layers, planes, planes, 3, stride, groups=cardinality)
        self.bn2 = layers.norm(planes)
        self.conv3 = convolution(layers, planes, planes * expansion, 1)
        self.bn3 = layers.norm(planes * expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        features = self.relu(self.bn2(self.conv2(features)))
        return self.relu(self.bn3(self.conv3(features)).add_(shortcut))


def blocks_of(depth: int, stages: int) -> tuple[int, ...]:
    """Blocks of the first stages. Raises PipelineError for a depth that Hara et al. do not define."""
    if depth not in BLOCKS_PER_STAGE:
        raise PipelineError(f"depth: there is no ResNet of depth {depth}; choose one of {sorted(BLOCKS_PER_STAGE)}")
    if not 1 <= stages <= 4:
        raise PipelineError(f"stages is {stages}: a ResNet has 1 to 4")
    return BLOCKS_PER_STAGE[depth][:stages]
