"""A small generator of images from normal latents, with its critic (WGAN-GP, Gulrajani et al., NeurIPS 2017)."""

from typing import ClassVar

from torch import Tensor, nn

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import as_pictures

SMALLEST = 4  # side of the first feature map


@method
class Wgan:
    """A generator: latents (N, latents) -> images (N, 3, size, size) in [0, 1], and a critic: images -> (N, 1).

    As DCGAN without normalization, which the penalty on each image's gradient forbids in the critic. The network's
    forward pass is the critic's.

    size: side of the images in pixels, 4 times a power of 2. latents: their number. width: channels of the largest
    feature map.
    """

    generates: ClassVar[str] = "images of latents"

    size: Count = 32
    latents: Count = 64
    width: Count = 24

    def __call__(self, classes: int) -> nn.Module:
        return WganNetwork(self.size, self.latents, self.width)


class WganNetwork(nn.Module):
    def __init__(self, size: int, latents: int, width: int) -> None:
        super().__init__()
        doublings = (size // SMALLEST).bit_length() - 1
        if doublings < 1 or SMALLEST << doublings != size:
            raise PipelineError(f"a generator makes images of 8, 16, 32, ... pixels; size is {size}")
        self.size, self.latents = size, latents
        widths = [width << number for number in range(doublings)]
        self.generator = generator_of(latents, widths[::-1])
        self.critic = critic_of(widths)

    def forward(self, images: Tensor) -> Tensor:
        return self.critic(2 * as_pictures(images) - 1)

    def generate(self, latents: Tensor) -> Tensor:
        """(N, latents) -> images (N, 3, size, size) in [0, 1]."""
        return self.generator(latents) / 2 + 0.5


def generator_of(latents: int, widths: list[int]) -> nn.Sequential:
    """Latents to images in [-1, 1]: a linear layer, then a doubled resolution for each width, from coarse to fine."""
    layers: list[nn.Module] = [
        nn.Linear(latents, widths[0] * SMALLEST**2),
        nn.Unflatten(1, (widths[0], SMALLEST, SMALLEST)),
    ]
    for own, following in zip(widths, [*widths[1:], 3], strict=True):
        layers += [nn.ReLU(), nn.ConvTranspose2d(own, following, 4, stride=2, padding=1)]
    return nn.Sequential(*layers, nn.Tanh())


def critic_of(widths: list[int]) -> nn.Sequential:
    """Images in [-1, 1] to scores (N, 1): a halved resolution for each width."""
    layers: list[nn.Module] = []
    for before, own in zip([3, *widths], widths, strict=False):
        layers += [nn.Conv2d(before, own, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * SMALLEST**2, 1))
