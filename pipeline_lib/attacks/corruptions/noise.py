"""Noise of every pixel (Hendrycks and Dietterich, ICLR 2019), drawn again for each frame."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Severity, method
from pipeline_lib.randomness.generators import require_one_each

Kind = Literal["gaussian", "shot", "impulse", "speckle"]
# By severity: standard deviations; photons of a white pixel; fraction of the values that become 0 or 1.
LEVELS: dict[Kind, tuple[float, ...]] = {
    "gaussian": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot": (60, 25, 12, 5, 3),
    "impulse": (0.03, 0.06, 0.09, 0.17, 0.27),
    "speckle": (0.15, 0.2, 0.35, 0.45, 0.6),
}


@method
class NoiseCorruption:
    """`gaussian`: x + N(0, s^2); `shot`: Poisson(s x) / s; `impulse`: a fraction s becomes 0 or 1; `speckle`: x + x
    N(0, s^2).

    kind: of the noise.
    severity: 1 to 5, the values of Hendrycks and Dietterich's code for ImageNet.
    """

    kind: Kind
    severity: Severity = 3

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        require_one_each(generators, clips)
        level = LEVELS[self.kind][self.severity - 1]
        noisy = [self._noisy(clip.cpu(), level, g) for clip, g in zip(clips, generators, strict=True)]
        return torch.stack(noisy).clamp(0, 1).to(clips)

    def _noisy(self, clip: Tensor, level: float, generator: torch.Generator) -> Tensor:
        if self.kind == "shot":
            return torch.poisson(clip * level, generator=generator) / level
        if self.kind == "impulse":
            drawn = torch.rand(clip.shape, generator=generator)
            return torch.where(drawn < level, (drawn < level / 2).to(clip), clip)
        noise = level * torch.randn(clip.shape, generator=generator)
        return clip + (noise if self.kind == "gaussian" else clip * noise)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)
