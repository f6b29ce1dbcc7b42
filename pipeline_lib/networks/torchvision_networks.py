"""Networks of torchvision, without weights; their published weights load through a model's `initial`."""

from typing import ClassVar

from torch import nn

from pipeline_lib.entries.ranges import method
from pipeline_lib.networks.normalization import Normalization, normalize_inputs


@method
class TorchvisionR3D18:
    """`torchvision.models.video.r3d_18` (Tran et al., CVPR 2018): (N, 3, T, H, W) -> logits (N, classes).

    normalization: of the inputs.
    """

    stage_count: ClassVar[int] = 4

    normalization: Normalization | None = None

    def __call__(self, classes: int) -> nn.Module:
        from torchvision.models.video import r3d_18

        return normalize_inputs(r3d_18(num_classes=classes), self.normalization)
