"""Defense-GAN: images are replaced by the nearest ones that a generator makes (Samangouei et al., ICLR 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.entries.ranges import Count, Fraction, Positive, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import per_picture
from pipeline_lib.transforms.bpda import Generator, Stochastic
from pipeline_lib.transforms.layout import on_frames
from pipeline_lib.transforms.projection import normal_latents, projected


@method
class DefenseGan:
    """G(z) for the z with the smallest mean squared error to the image, after gradient descent from random latents.

    An approximate projection has no useful gradient: Athalye et al. (ICML 2018) pass it by BPDA. Its latents are normal
    and random, so the attack averages the gradient over several draws (EOT). Frames of a clip start from the same ones.

    generator: a model trained by `wasserstein` (`wgan`).
    restarts: first latents of each image; the paper's are 10. steps: of descent from each of them; the paper's are 200.
    step_size: of the descent on the mean squared error of values in [0, 1]; momentum: the paper's code has 0.7.
    """

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True
    generated_by: ClassVar[str] = "generator"
    needs: ClassVar[str] = "images of latents"

    generator: Generator
    restarts: Count = 10
    steps: Count = 200
    step_size: Positive = 10.0
    momentum: Fraction = 0.7

    def learned(self, generator: nn.Module) -> Stochastic:
        return Projection(generator, self)


@dataclass(frozen=True)
class Projection:
    """Clips to the generator's images nearest to their frames, from random latents."""

    differentiable: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    generator: Any
    how: DefenseGan

    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        first = normal_latents(clips, (self.how.restarts, self.generator.latents), generators)
        start = per_picture(first, clips)
        return on_frames(lambda images: self._nearest(images, start), clips.detach())

    def _nearest(self, images: Tensor, latents: Tensor) -> Tensor:
        if images.shape[-1] != self.generator.size or images.shape[-2] != self.generator.size:
            size = self.generator.size
            raise PipelineError(f"the generator makes images of {size} x {size}; frames are {tuple(images.shape[-2:])}")
        how = self.how
        return projected(
            self.generator.generate, images, latents, steps=how.steps, step_size=how.step_size, momentum=how.momentum
        )
