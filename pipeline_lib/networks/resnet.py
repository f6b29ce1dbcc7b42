"""ResNets, Wide ResNets and ResNeXts on clips (Hara et al., CVPR 2018) and on images, in one class."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.normalization import Normalization, normalize_inputs
from pipeline_lib.networks.residual import LAYERS, Basic, Bottleneck, blocks_of, shortcut_of

BOTTLENECK_FROM = 50
AXES = {2: "two numbers (height, width)", 3: "three numbers (time, height, width)"}


class ResNet(nn.Module):
    """Clips (N, 3, T, H, W) in [0, 1] -> logits (N, classes), or images (N, 3, H, W) if it has two `dimensions`.

    With two dimensions, clips of a single frame are images. Stage i has `planes * 2**i` planes and blocks[i] blocks.
    `expansion` 1 means basic blocks, more means bottlenecks with `expansion` times as many output channels;
    `cardinality` is the number of groups of a bottleneck. Weights are drawn from the global generator (Kaiming, fan
    out): fork and seed it around the construction.
    """

    head = "fc"

    def __init__(
        self,
        *,
        classes: int,
        blocks: Sequence[int],
        dimensions: int = 3,
        width: int = 64,
        planes: int = 64,
        expansion: int = 1,
        cardinality: int = 1,
        shortcut: str = "B",
        detached: bool = False,
        stem_kernel: int = 7,
        stem_stride: Sequence[int] = (1, 2, 2),
        stem_pool: bool = True,
    ) -> None:
        super().__init__()
        self.dimensions, self.layers = dimensions, LAYERS[dimensions]
        self.expansion, self.cardinality = expansion, cardinality
        self.shortcut = shortcut_of(shortcut, self.layers, detached)
        stride = stride_of(stem_stride, dimensions)
        self.conv1 = self.layers.stem(3, width, stem_kernel, stride, stem_kernel // 2, bias=False)
        self.bn1 = self.layers.norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = self.layers.pool(3, stride=2, padding=1) if stem_pool else nn.Identity()
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
            return Basic(self.layers, inputs, planes, stride, downsample)
        return Bottleneck(self.layers, inputs, planes, stride, downsample, self.expansion, self.cardinality)

    def forward(self, clips: Tensor) -> Tensor:
        pixels = images(clips) if self.dimensions == 2 else clips
        features = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        for name in self.stages:
            features = self.get_submodule(name)(features)
        return self.fc(features.mean(dim=tuple(range(2, features.dim()))))


def images(clips: Tensor) -> Tensor:
    """(N, C, 1, H, W) or (N, C, H, W) -> (N, C, H, W). Raises PipelineError for clips of more frames."""
    if clips.dim() == 4:
        return clips
    if clips.shape[2] != 1:
        raise PipelineError(f"a 2D network accepts single frames, not clips of {clips.shape[2]}: choose a 3D network")
    return clips.squeeze(2)


def initialize(network: nn.Module) -> None:
    """Kaiming normal over the fan out for convolutions, as Hara et al.; BatchNorm and fc keep torch's own values."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")


@method
class ResidualNetwork:
    """The common fields of all ResNets. Basic blocks below depth 50, bottlenecks (expansion 4) from depth 50.

    width: planes of the first stage; stages: number of stages, 1 to 4; stem_stride: (time, height, width).
    depth: 10, 18, 34, 50, 101, 152 or 200; shortcut: `B`, a convolution, or `A`, the subsampled identity.
    detached: the shortcuts `A` pass no gradient, as in the authors' code. Not the default, since it is not the
    derivative of the network: attacks along it are weaker.
    stem_kernel: side in pixels and frames; stem_pool: a pooling follows the stem; normalization: of the inputs.
    """

    stage_count: ClassVar[str] = "stages"
    stem_width: ClassVar[str] = "width"

    depth: int = 18
    width: Count = 64
    shortcut: str = "B"
    detached: bool = False
    stages: int = 4
    stem_kernel: Count = 7
    stem_stride: tuple[int, ...] = (1, 2, 2)
    stem_pool: bool = True
    normalization: Normalization | None = None

    def __call__(self, classes: int) -> nn.Module:
        return self._network(classes, planes=self.width, expansion=expansion_of(self.depth))

    def _network(
        self, classes: int, *, planes: int, expansion: int, cardinality: int = 1, dimensions: int = 3
    ) -> nn.Module:
        """The network of these stages, stem and normalization, with the given kind of block."""
        network = ResNet(
            classes=classes,
            blocks=blocks_of(self.depth, self.stages),
            dimensions=dimensions,
            width=self.width,
            planes=planes,
            expansion=expansion,
            cardinality=cardinality,
            shortcut=self.shortcut,
            detached=self.detached,
            stem_kernel=self.stem_kernel,
            stem_stride=self.stem_stride,
            stem_pool=self.stem_pool,
        )
        return normalize_inputs(network, self.normalization)


@method
class ResNet3D(ResidualNetwork):
    """3D ResNet (Hara et al. 2018)."""


@method
class WideResNet3D(ResidualNetwork):
    """3D Wide ResNet (Hara et al. 2018): `widen` times the planes of a bottleneck with expansion 2.

    widen: factor of the planes.
    """

    depth: int = 50
    widen: Count = 2

    def __call__(self, classes: int) -> nn.Module:
        return self._network(classes, planes=self.width * self.widen, expansion=2)


@method
class ResNeXt3D(ResidualNetwork):
    """3D ResNeXt (Hara et al. 2018): twice the planes in `cardinality` groups, expansion 2; 32x4d at width 64.

    cardinality: number of groups; it divides twice the planes.
    """

    depth: int = 101
    cardinality: Count = 32

    def __call__(self, classes: int) -> nn.Module:
        planes = 2 * self.width
        if planes % self.cardinality:
            raise PipelineError(
                f"cardinality: {planes} planes (2 * width) do not divide into {self.cardinality} groups"
            )
        return self._network(classes, planes=planes, expansion=2, cardinality=self.cardinality)


@method
class ResNet2D(ResidualNetwork):
    """ResNet for images (He et al. 2016) with the stem for CIFAR-10; stem_stride: (height, width).

    With stem_kernel 7, stem_stride (2, 2) and stem_pool true, the names and the logits are those of torchvision.
    """

    stem_kernel: Count = 3
    stem_stride: tuple[int, ...] = (1, 1)
    stem_pool: bool = False

    def __call__(self, classes: int) -> nn.Module:
        return self._network(classes, dimensions=2, planes=self.width, expansion=expansion_of(self.depth))


def expansion_of(depth: int) -> int:
    return 4 if depth >= BOTTLENECK_FROM else 1


def stride_of(stem_stride: Sequence[int], dimensions: int) -> tuple[int, ...]:
    if len(stem_stride) != dimensions:
        raise PipelineError(f"stem_stride is {list(stem_stride)}: give {AXES[dimensions]}")
    return tuple(stem_stride)
