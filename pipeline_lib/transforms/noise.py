"""Random noise as a defense."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.entries.ranges import Positive, method
from pipeline_lib.randomness.noise import normal_like


@method
class NoiseInjection:
    """Independent normal noise on every value, then clamped; sigma on the [0, 1] scale (Cohen et al., 2019: 0.12 to 1).

    Differentiated exactly, for the drawn noise. The default is our choice.

    sigma: standard deviation of the noise.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    sigma: Positive = 0.05

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        noise = normal_like(clips, generators)
        return (clips + self.sigma * noise).clamp(0, 1)
