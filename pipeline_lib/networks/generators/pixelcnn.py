"""A small PixelCNN++ (Salimans et al., ICLR 2017): the likelihood of an image, pixel by pixel in raster order.

Two stacks without a blind spot: `above` sees the rows above a pixel, `left` those and the pixels to its left. There is
one resolution and no dropout; the paper's network has three and 160 filters.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.networks.generators.logistic_mixture import CHANNELS, PER_COMPONENT, Mixture, scaled
from pipeline_lib.pictures import as_pictures

# Around feature maps: left, right, top, bottom. Every convolution is one without padding on a part of such a map, the
# whole map or what one pixel needs, so that both are the same code.
FRAME = (2, 1, 2, 0)

Choose = Callable[[int, int, int, Callable[[Tensor], Tensor]], Tensor]
"""(row, column, channel, log-probabilities of levels (N, M)) -> the chosen level of each image (N,)."""


@method
class PixelCNN:
    """Images (N, 3, H, W), or frames of clips -> (N, 1), the log-likelihood in nats per value. Of any size of images.

    width: channels of the feature maps. blocks: gated residual blocks of each stack. mixtures: logistics of a pixel.
    """

    generates: ClassVar[str] = "likelihood"

    width: Count = 32
    blocks: Count = 4
    mixtures: Count = 5

    def __call__(self, classes: int) -> nn.Module:
        return PixelCNNNetwork(self.width, self.blocks, self.mixtures)


class Part(NamedTuple):
    """The pixels whose features are computed: rows top to bottom, columns left to right, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    def window(self, framed: Tensor, up: int, left: int, down: int = 0, right: int = 0) -> Tensor:
        """The pixels below a kernel that extends so far from each pixel; a negative number excludes the pixel."""
        rows = slice(self.top + 2 - up, self.bottom + 2 + down)
        return framed[:, :, rows, self.left + 2 - left : self.right + 2 + right]


Seen = Callable[[int, Tensor], Tensor]
"""(block, its activated input in a part) -> the framed map of that input, which a convolution reads around the part."""


class Gated(nn.Module):
    """features + a * sigmoid(b), where (a, b) is a convolution of the window around the features, plus an offset."""

    def __init__(self, width: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, 2 * width, kernel)

    def forward(self, features: Tensor, window: Tensor, offset: Tensor | float = 0.0) -> Tensor:
        own, gate = (self.convolution(window) + offset).chunk(2, 1)
        return features + own * gate.sigmoid()


class PixelCNNNetwork(nn.Module):
    def __init__(self, width: int, blocks: int, mixtures: int) -> None:
        super().__init__()
        self.width = width
        # The channel of ones distinguishes the frame from dark pixels.
        self.first_above = nn.Conv2d(CHANNELS + 1, width, (2, 3))
        self.first_left = nn.Conv2d(CHANNELS + 1, width, (1, 2))
        self.above = nn.ModuleList(Gated(width, (2, 3)) for _ in range(blocks))
        self.left = nn.ModuleList(Gated(width, (2, 2)) for _ in range(blocks))
        # From the stack `above` to the first features and to each block of the stack `left`.
        self.offsets = nn.ModuleList(nn.Conv2d(width, width * (1 + (n > 0)), 1) for n in range(blocks + 1))
        self.last = nn.Conv2d(width, mixtures * PER_COMPONENT, 1)

    def forward(self, images: Tensor) -> Tensor:
        images = as_pictures(images)
        return self.log_likelihood(images)[:, None] / images[0].numel()

    def log_likelihood(self, images: Tensor) -> Tensor:
        """(N,): log-probability in nats of images, rounded to 8 bits; differentiable in the weights."""
        levels = (images * 255).round()
        mixture = Mixture.of(self.parameters_of(scaled(levels)).permute(0, 2, 3, 1))
        return mixture.log_likelihood(levels.permute(0, 2, 3, 1)).sum((1, 2))

    def parameters_of(self, values: Tensor) -> Tensor:
        """(N, K * PER_COMPONENT, H, W): the mixtures of all pixels, of values (N, 3, H, W) in [-1, 1]."""
        whole, pixels = Part(0, values.shape[2], 0, values.shape[3]), F.pad(with_ones(values), FRAME)
        added = self._from_above(pixels, whole, framed)
        return self._mixtures(pixels, added, whole, framed)

    def _from_above(self, pixels: Tensor, part: Part, seen: Seen) -> list[Tensor]:
        """What the stack `above` adds to the stack `left` in some rows."""
        features = self.first_above(part.window(pixels, up=2, left=1, down=-1, right=1))
        active = F.elu(features)
        added = [self.offsets[0](active)]
        for number, block in enumerate(self.above):
            features = block(features, part.window(seen(number, active), up=1, left=1, right=1))
            active = F.elu(features)
            added.append(self.offsets[number + 1](active))
        return added

    def _mixtures(self, pixels: Tensor, added: list[Tensor], part: Part, seen: Seen) -> Tensor:
        """The parameters of a part's pixels by the stack `left`, given what the stack `above` adds there."""
        features = self.first_left(part.window(pixels, up=0, left=2, right=-1)) + added[0]
        for number, block in enumerate(self.left):
            window = part.window(seen(number, F.elu(features)), up=1, left=1)
            features = block(features, window, added[number + 1])
        return self.last(F.elu(features))

    @torch.no_grad()
    def in_order(self, images: Tensor, choose: Choose) -> Tensor:
        """Images of chosen levels (N, 3, H, W), float32 in [0, 1]: each channel of each pixel is chosen by its
        probabilities given the ones before it. The shape and the device are those of `images`, which are not read.

        A row costs one pass of the stack `above`, and a pixel one pass of a single pixel.
        """
        height, width = images.shape[2:]
        pixels, result = F.pad(with_ones(torch.zeros_like(images)), FRAME), torch.empty_like(images)
        above, left = ([self._empty_map(images) for _ in stack] for stack in (self.above, self.left))
        for row in range(height):
            rows = Part(row, row + 1, 0, width)
            added = self._from_above(pixels, rows, partial(kept, above, rows))
            for column in range(width):
                own, part = [each[..., column : column + 1] for each in added], Part(row, row + 1, column, column + 1)
                found = self._mixtures(pixels, own, part, partial(kept, left, part))
                chosen = chosen_pixel(Mixture.of(found[:, :, 0, 0]), row, column, choose)
                result[:, :, row, column] = chosen / 255
                pixels[:, :CHANNELS, row + 2, column + 2] = scaled(chosen)
        return result

    def _empty_map(self, images: Tensor) -> Tensor:
        return F.pad(images.new_zeros(len(images), self.width, *images.shape[2:]), FRAME)


def framed(number: int, active: Tensor) -> Tensor:
    """The map of features that are known everywhere."""
    return F.pad(active, FRAME)


def kept(maps: list[Tensor], part: Part, number: int, active: Tensor) -> Tensor:
    """The map of features that become known part by part."""
    part.window(maps[number], 0, 0).copy_(active)
    return maps[number]


def with_ones(values: Tensor) -> Tensor:
    return torch.cat([values, torch.ones_like(values[:, :1])], 1)


def chosen_pixel(mixture: Mixture, row: int, column: int, choose: Choose) -> Tensor:
    """(N, CHANNELS): the chosen levels of one pixel, channel after channel."""
    weights, levels = mixture.logits, mixture.logits.new_zeros(len(mixture.logits), 0)
    for channel in range(CHANNELS):
        of_component = partial(mixture.log_probabilities, channel, scaled(levels))
        chosen = choose(row, column, channel, partial(mixed, weights, of_component)).to(weights).unsqueeze(1)
        weights = weights + of_component(chosen).squeeze(1)
        levels = torch.cat([levels, chosen], 1)
    return levels


def mixed(weights: Tensor, of_component: Callable[[Tensor], Tensor], levels: Tensor) -> Tensor:
    """(N, M): log-probabilities of levels (N, M), given the components' unnormalized log-weights (N, K)."""
    return (weights.log_softmax(-1).unsqueeze(1) + of_component(levels)).logsumexp(-1)
