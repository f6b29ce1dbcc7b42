"""Purification by a diffusion model: noise is added to images and removed again (DiffPure, Nie et al., ICML 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.entries.ranges import Count, OpenFraction, method
from pipeline_lib.pictures import frames_of
from pipeline_lib.randomness.noise import normal_like
from pipeline_lib.transforms.bpda import Generator, Stochastic
from pipeline_lib.transforms.layout import on_frames


@method
class DiffusionPurification:
    """The image after a fraction of the forward process and as much of the reverse one, in a few steps with new noise.

    Differentiated exactly, through all steps, for the drawn noise; an attack averages over several draws (EOT). Frames
    of a clip are purified one by one, each with noise of its own.

    generator: a model trained by `denoising` (`diffusion`).
    fraction: of the diffusion, t* of the paper, which has 0.1 for CIFAR-10.
    steps: of the reverse process.
    """

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True
    generated_by: ClassVar[str] = "generator"
    needs: ClassVar[str] = "denoised images"

    generator: Generator
    fraction: OpenFraction = 0.1
    steps: Count = 5

    def learned(self, generator: nn.Module) -> Stochastic:
        return Diffused(generator, self)


@dataclass(frozen=True)
class Diffused:
    """Clips purified by a trained diffusion model."""

    differentiable: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    generator: Any
    how: DiffusionPurification

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        each = [generator for generator in generators for _ in range(frames_of(clips))]

        def purify(images: Tensor) -> Tensor:
            noise = normal_like(images, each)
            return self.generator.purified(images, noise, each, self.how.fraction, self.how.steps)

        return on_frames(purify, clips)
