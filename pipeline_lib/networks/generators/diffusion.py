"""A small denoising diffusion model (Ho et al., NeurIPS 2020) by the library diffusers, an optional dependency."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import as_pictures

TIMES = 1000
NEEDED = "a diffusion model needs the library diffusers: pip install 'diffusers>=0.35'"


def reverse_times(fraction: float, steps: int) -> list[int]:
    """The times of a reverse process after a fraction of the diffusion, evenly spaced. The first is the last one that
    the fraction contains, so that its noise does not depend on the number of steps.

    Raises:
        PipelineError: for more steps than the fraction has times.
    """
    last = round(fraction * TIMES)
    if steps > last:
        raise PipelineError(f"{steps} steps are more than the {last} times of {fraction:g} of the diffusion")
    return [round(last * step / steps) - 1 for step in range(steps, 0, -1)]


@method
class Diffusion:
    """diffusers' `UNet2DModel`, which predicts the noise in images, with 1,000 times of a linear schedule.

    width: channels at full resolution, a multiple of 8; twice as many below. levels: resolutions, each half the one
    above. blocks: residual blocks of each.
    """

    generates: ClassVar[str] = "denoised images"

    width: Count = 16
    levels: Count = 3
    blocks: Count = 1

    def __call__(self, classes: int) -> nn.Module:
        return DiffusionNetwork(self.width, self.levels, self.blocks)


class DiffusionNetwork(nn.Module):
    """Images are (N, 3, H, W) in [0, 1]; noise is added on the scale from -1 to 1."""

    def __init__(self, width: int, levels: int, blocks: int) -> None:
        super().__init__()
        library = diffusers()
        if width % 8:
            raise PipelineError(f"width is {width}: the normalization of a diffusion model has groups of 8 channels")
        self.unet = library.UNet2DModel(
            layers_per_block=blocks,
            block_out_channels=(width, *[2 * width] * (levels - 1)),
            down_block_types=("DownBlock2D",) * levels,
            up_block_types=("UpBlock2D",) * levels,
            norm_num_groups=8,
            attention_head_dim=8,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1): the mean of the noise that is predicted at the first time."""
        images = as_pictures(images)
        times = torch.zeros(len(images), dtype=torch.long, device=images.device)
        return self.predicted(2 * images - 1, times).flatten(1).mean(1, keepdim=True)

    def predicted(self, noisy: Tensor, times: Tensor) -> Tensor:
        """The noise in noisy images on the scale from -1 to 1, at times (N,)."""
        return self.unet(noisy, times).sample

    def noised(self, images: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """sqrt(a) x + sqrt(1 - a) noise, a the schedule's product at times (N,)."""
        return schedule().add_noise(2 * images - 1, noise, times)

    def purified(
        self, images: Tensor, noise: Tensor, generators: Sequence[torch.Generator], fraction: float, steps: int
    ) -> Tensor:
        """Images after a fraction of the forward process, then `steps` steps of the reverse one; differentiable."""
        backwards = schedule()
        backwards.set_timesteps(timesteps=reverse_times(fraction, steps))
        times = backwards.timesteps
        state = self.noised(images, times[:1].to(images.device).expand(len(images)), noise)
        for time in times:
            predicted = self.predicted(state, time.to(images.device).expand(len(images)))
            state = backwards.step(predicted, time, state, generator=list(generators)).prev_sample
        return (state / 2 + 0.5).clamp(0, 1)


def diffusers() -> Any:
    """The library. Raises PipelineError without it."""
    try:
        import diffusers
    except ImportError as error:
        raise PipelineError(f"{NEEDED} ({error})") from None
    return diffusers


def schedule() -> Any:
    return diffusers().DDPMScheduler(num_train_timesteps=TIMES)
