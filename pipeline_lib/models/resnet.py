"""3D ResNets and Wide ResNets (Hara et al., CVPR 2018) as parameters of one class, with their state-dict names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError

BLOCKS_PER_STAGE = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
BOTTLENECK_FROM = 50


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """A convolution without bias that keeps the size at stride 1."""
    return nn.Conv3d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)


def normalization(channels: int) -> nn.Module:
    return nn.BatchNorm3d(channels)


class SubsampledIdentity(nn.Module):
    """Shortcut "A": every `stride`-th position, new channels filled with zeros; it has no parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.added = outputs - inputs

    def forward(self, features: Tensor) -> Tensor:
        s = self.stride
        return F.pad(features[:, :, ::s, ::s, ::s], (0, 0, 0, 0, 0, 0, 0, self.added))


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Shortcut "B": a 1x1x1 convolution and BatchNorm."""
    return nn.Sequential(convolution(inputs, outputs, 1, stride), normalization(outputs))


SHORTCUTS: dict[str, Callable[[int, int, int], nn.Module]] = {"A": SubsampledIdentity, "B": projection}


def shortcut_of(letter: str) -> Callable[[int, int, int], nn.Module]:
    """(inputs, outputs, stride) -> shortcut. Raises PipelineError for an unknown letter."""
    if letter not in SHORTCUTS:
        raise PipelineError(f'shortcut: {letter!r} is unknown; choose "A" (subsampled identity) or "B" (convolution)')
    return SHORTCUTS[letter]


class Basic(nn.Module):
    """Two 3x3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, planes, 3, stride)
        self.bn1 = normalization(planes)
        self.conv2 = convolution(planes, planes, 3)
        self.bn2 = normalization(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        return self.relu(self.bn2(self.conv2(features)).add_(shortcut))


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 (in `cardinality` groups, with the stride) and 1x1x1 convolutions, and a shortcut."""

    def __init__(
        self, inputs: int, planes: int, stride: int, downsample: nn.Module | None, expansion: int, cardinality: int
    ) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, planes, 1)
        self.bn1 = normalization(planes)
        self.conv2 = convolution(planes, planes, 3, stride, groups=cardinality)
        self.bn2 = normalization(planes)
        self.conv3 = convolution(planes, planes * expansion, 1)
        self.bn3 = normalization(planes * expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        features = self.relu(self.bn2(self.conv2(features)))
        return self.relu(self.bn3(self.conv3(features)).add_(shortcut))


class ResNet(nn.Module):
    """(N, 3, T, H, W) in [0, 1] -> logits (N, classes).

    Stage i has `planes * 2**i` planes and blocks[i] blocks. `expansion` 1 makes basic blocks, more makes bottlenecks
    with `expansion` times as many output channels; `cardinality` is the number of groups of a bottleneck. Weights are
    drawn from the global generator (Kaiming, fan out): fork and seed it around the construction.
    """

    def __init__(
        self,
        *,
        classes: int,
        blocks: Sequence[int],
        width: int = 64,
        planes: int = 64,
        expansion: int = 1,
        cardinality: int = 1,
        shortcut: str = "B",
        stem_kernel: int = 7,
        stem_stride: tuple[int, int, int] = (1, 2, 2),
        stem_pool: bool = True,
    ) -> None:
        super().__init__()
        self.expansion, self.cardinality = expansion, cardinality
        self.shortcut = shortcut_of(shortcut)
        self.conv1 = nn.Conv3d(3, width, stem_kernel, stem_stride, stem_kernel // 2, bias=False)
        self.bn1 = normalization(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1) if stem_pool else nn.Identity()
        self.stages = [f"layer{i + 1}" for i in range(len(blocks))]
        channels = width
        for i, name in enumerate(self.stages):
            stage = self._stage(channels, planes * 2**i, blocks[i], stride=1 if i == 0 else 2)
            self.add_module(name, stage)
            channels = planes * 2**i * expansion
        self.fc = nn.Linear(channels, classes)
        initialize(self)

    def _stage(self, inputs: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
        outputs = planes * self.expansion
        first = self._block(inputs, planes, stride)
        return nn.Sequential(first, *(self._block(outputs, planes, 1) for _ in range(blocks - 1)))

    def _block(self, inputs: int, planes: int, stride: int) -> nn.Module:
        outputs = planes * self.expansion
        same = stride == 1 and inputs == outputs
        downsample = None if same else self.shortcut(inputs, outputs, stride)
        if self.expansion == 1:
            return Basic(inputs, planes, stride, downsample)
        return Bottleneck(inputs, planes, stride, downsample, self.expansion, self.cardinality)

    def forward(self, clips: Tensor) -> Tensor:
        features = self.maxpool(self.relu(self.bn1(self.conv1(clips))))
        for name in self.stages:
            features = self.get_submodule(name)(features)
        return self.fc(features.mean(dim=(2, 3, 4)))


def initialize(network: nn.Module) -> None:
    """Kaiming normal over the fan out for convolutions, as Hara et al.; BatchNorm and fc keep torch's own values."""
    for part in network.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")


@dataclass(frozen=True, kw_only=True)
class ResNet3D:
    """3D ResNet (Hara et al. 2018). Basic blocks below depth 50, bottlenecks (expansion 4) from there on.

    width: planes of the first stage; stages: how many of the four stages are kept; stem_stride: (time, height, width).
    """

    depth: int = 18
    width: int = 64
    shortcut: str = "B"
    stages: int = 4
    stem_kernel: int = 7
    stem_stride: tuple[int, ...] = (1, 2, 2)
    stem_pool: bool = True

    def __call__(self, classes: int) -> nn.Module:
        return ResNet(
            classes=classes,
            blocks=blocks_of(self.depth, self.stages),
            width=self.width,
            planes=self.width,
            expansion=4 if self.depth >= BOTTLENECK_FROM else 1,
            shortcut=self.shortcut,
            stem_kernel=self.stem_kernel,
            stem_stride=triple(self.stem_stride),
            stem_pool=self.stem_pool,
        )


@dataclass(frozen=True, kw_only=True)
class WideResNet3D:
    """3D Wide ResNet (Hara et al. 2018): `widen` times the planes of a bottleneck with expansion 2."""

    depth: int = 50
    width: int = 64
    widen: int = 2
    shortcut: str = "B"
    stages: int = 4
    stem_kernel: int = 7
    stem_stride: tuple[int, ...] = (1, 2, 2)
    stem_pool: bool = True

    def __call__(self, classes: int) -> nn.Module:
        return ResNet(
            classes=classes,
            blocks=blocks_of(self.depth, self.stages),
            width=self.width,
            planes=self.width * self.widen,
            expansion=2,
            shortcut=self.shortcut,
            stem_kernel=self.stem_kernel,
            stem_stride=triple(self.stem_stride),
            stem_pool=self.stem_pool,
        )


def blocks_of(depth: int, stages: int) -> tuple[int, ...]:
    """Blocks of the first stages. Raises PipelineError for a depth that Hara et al. do not define."""
    if depth not in BLOCKS_PER_STAGE:
        raise PipelineError(f"depth: there is no ResNet of depth {depth}; choose one of {sorted(BLOCKS_PER_STAGE)}")
    if not 1 <= stages <= 4:
        raise PipelineError(f"stages is {stages}: a ResNet has 1 to 4")
    return BLOCKS_PER_STAGE[depth][:stages]


def triple(stride: Sequence[int]) -> tuple[int, int, int]:
    if len(stride) != 3:
        raise PipelineError(f"stem_stride is {list(stride)}: give three numbers (time, height, width)")
    return stride[0], stride[1], stride[2]
