"""The image of a generator that is nearest to a given one, by gradient descent from random latents.

Defense-GAN purifies by it (Samangouei et al., ICLR 2018), and a generator's training measures itself by it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline_lib.randomness.noise import normal_like

Generate = Callable[[Tensor], Tensor]
"""Latents (M, L) to images (M, C, H, W) in [0, 1]."""


def normal_latents(clips: Tensor, shape: tuple[int, ...], generators: Sequence[torch.Generator]) -> Tensor:
    """(N, *shape): normal numbers from one generator per clip."""
    return normal_like(clips.new_empty((len(clips), *shape)), generators)


def projected(
    generate: Generate, images: Tensor, latents: Tensor, *, steps: int, step_size: float, momentum: float = 0.7
) -> Tensor:
    """(N, C, H, W): for each image the nearest one after gradient descent from each of its latents (N, R, L).

    Descent on each pair's mean squared error, so that no result depends on the batch.
    """
    count, restarts, length = latents.shape
    with torch.inference_mode(False), torch.enable_grad():  # also where the caller, who predicts, needs no gradients
        targets = images.detach().clone().repeat_interleave(restarts, 0)
        place = latents.detach().clone().reshape(-1, length)
        speed = torch.zeros_like(place)
        for _ in range(steps):
            leaf = place.requires_grad_()
            (gradient,) = torch.autograd.grad(errors(generate(leaf), targets).sum(), leaf)
            speed = momentum * speed - step_size * gradient
            place = (place + speed).detach()
    with torch.no_grad():
        made = generate(place)
        best = errors(made, targets).view(count, restarts).argmin(1)
    return made.view(count, restarts, *made.shape[1:])[torch.arange(count, device=made.device), best].clamp(0, 1)


def errors(made: Tensor, images: Tensor) -> Tensor:
    """(N,): mean squared errors."""
    return (made - images).square().flatten(1).mean(1)
