"""Denoising, the training of a diffusion model."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.entries.ranges import method
from pipeline_lib.networks.generators.diffusion import TIMES
from pipeline_lib.randomness.noise import noise_like
from pipeline_lib.records.selectors import GENERATOR_GUESS, GENERATOR_LOSS


@method
class Denoising:
    """The mean squared error of the predicted noise at a uniform time (Ho et al., 2020, equation 14); a guess of no
    noise has 1.

    The accuracy in the history is the share of images with less than 1.
    """

    generates: ClassVar[str] = "denoised images"

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: Any, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        images = clips if clips.dim() == 4 else clips[:, :, 0]
        generators = draw("noise")
        times = torch.cat([torch.randint(TIMES, (1,), generator=generator) for generator in generators])
        noise = noise_like(images, generators, lambda one, generator: one.normal_(generator=generator))
        times = times.to(images.device)
        errors = (network.predicted(network.noised(images, times, noise), times) - noise).square().mean((1, 2, 3))
        figures = {GENERATOR_LOSS: errors.mean(), GENERATOR_GUESS: torch.ones_like(errors[0])}
        return Objective(errors.mean(), torch.stack([1 - errors, errors - 1], 1), torch.zeros_like(labels), figures)
