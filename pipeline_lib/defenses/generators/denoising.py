"""Denoising, the training of a diffusion model."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.entries.ranges import method
from pipeline_lib.networks.generators.diffusion import TIMES
from pipeline_lib.pictures import as_pictures
from pipeline_lib.randomness.noise import normal_like
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
        generators, images = draw("noise"), as_pictures(clips)
        drawn = torch.cat([torch.randint(TIMES, (1,), generator=generator) for generator in generators])
        times = drawn.repeat_interleave(len(images) // len(clips)).to(images.device)
        noise = as_pictures(normal_like(clips, generators))
        predicted = network.predicted(network.noised(images, times, noise), times)
        errors = (predicted - noise).square().flatten(1).mean(1).view(len(clips), -1).mean(1)
        figures = {GENERATOR_LOSS: errors.mean(), GENERATOR_GUESS: torch.ones_like(errors[0])}
        return Objective(errors.mean(), torch.stack([1 - errors, errors - 1], 1), torch.zeros_like(labels), figures)
