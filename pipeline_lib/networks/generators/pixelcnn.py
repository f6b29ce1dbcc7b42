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

# Around feature maps: left, right, top, bottom. Every convolution is one without padding on a part of such a map, the
# whole map or what one pixel needs, so that both are the same code.
FRAME = (2, 1, 2, 0)

Choose = Callable[[int, int, int, Callable[[Tensor], Tensor]], Tensor]
"""(row, column, channel, log-probabilities of levels (N, M)) -> the chosen level of each image (N,)."""


@method
class PixelCNN:
    """(N, 3, H, W) -> (N, 1), the log-likelihood in nats per value. Of any size of images.

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
        """What a kernel sees that reaches so far from each pixel; a negative reach leaves the pixel itself out."""
        rows = slice(self.top + 2 - up, self.bottom + 2 + down)
        return framed[:, :, rows, self.left + 2 - left : self.right + 2 + right]


class Gated(nn.Module):
    """features + a * sigmoid(b), where (a, b) is a convolution of the window around the features, plus an offset."""

    def __init__(self, width: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, 2 * width, kernel)

    def forward(self, features: Tensor, window: Tensor, offset: Tensor | float = 0.0) -> Tensor:
        own, gate = (self.convolution(F.elu(window)) + offset).chunk(2, 1)
        return features + own * gate.sigmoid()


class PixelCNNNetwork(nn.Module):
    def __init__(self, width: int, blocks: int, mixtures: int) -> None:
        super().__init__()
        self.width = width
        # The channel of ones tells the frame from dark pixels.
        self.first_above = nn.Conv2d(CHANNELS + 1, width, (2, 3))
        self.first_left = nn.Conv2d(CHANNELS + 1, width, (1, 2))
        self.first_other = nn.Conv2d(width, width, 1)
        self.above = nn.ModuleList(Gated(width, (2, 3)) for _ in range(blocks))
        self.left = nn.ModuleList(Gated(width, (2, 2)) for _ in range(blocks))
        self.offsets = nn.ModuleList(nn.Conv2d(width, 2 * width, 1) for _ in range(blocks))
        self.last = nn.Conv2d(width, mixtures * PER_COMPONENT, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.log_likelihood(images)[:, None] / images[0].numel()

    def log_likelihood(self, images: Tensor) -> Tensor:
        """(N,): log-probability in nats of images, rounded to 8 bits; differentiable in the weights."""
        levels = (images * 255).round()
        mixture = Mixture.of(self.parameters_of(scaled(levels)).permute(0, 2, 3, 1))
        return mixture.log_likelihood(levels.permute(0, 2, 3, 1)).sum((1, 2))

    def parameters_of(self, values: Tensor) -> Tensor:
        """(N, K * PER_COMPONENT, H, W): the mixtures of all pixels, of values (N, 3, H, W) in [-1, 1]."""
        whole = Part(0, values.shape[2], 0, values.shape[3])
        pixels = F.pad(with_ones(values), FRAME)
        above = [self._first_above(pixels, whole)]
        for number in range(len(self.above)):
            above.append(self._above(number, F.pad(above[-1], FRAME), whole))
        left = self._first_left(pixels, above[0], whole)
        for number in range(len(self.left)):
            left = self._left(number, F.pad(left, FRAME), above[number + 1], whole)
        return self.last(F.elu(left))

    def _first_above(self, pixels: Tensor, part: Part) -> Tensor:
        return self.first_above(part.window(pixels, up=2, left=1, down=-1, right=1))

    def _above(self, number: int, framed: Tensor, part: Part) -> Tensor:
        window = part.window(framed, up=1, left=1, right=1)
        return self.above[number](part.window(framed, 0, 0), window)

    def _first_left(self, pixels: Tensor, above: Tensor, part: Part) -> Tensor:
        return self.first_left(part.window(pixels, up=0, left=2, right=-1)) + self.first_other(above)

    def _left(self, number: int, framed: Tensor, above: Tensor, part: Part) -> Tensor:
        offset = self.offsets[number](F.elu(above))
        return self.left[number](part.window(framed, 0, 0), part.window(framed, up=1, left=1), offset)

    @torch.no_grad()
    def in_order(self, images: Tensor, choose: Choose) -> Tensor:
        """Images of chosen levels (N, 3, H, W), float32 in [0, 1]: each channel of each pixel is chosen by its
        probabilities given the ones before it. The shape and the device are those of `images`, which are not read.

            A row costs one pass of the stack `above`, and a pixel one pass of a single pixel.
        """
        count, _, height, width = images.shape
        pixels = F.pad(with_ones(torch.zeros_like(images)), FRAME)
        maps = [images.new_zeros(count, self.width, height + 2, width + 3) for _ in range(2 * len(self.left) + 1)]
        above, left = maps[: len(self.above) + 1], maps[len(self.above) + 1 :]
        result = torch.empty_like(images)
        for row in range(height):
            self._fill_row(pixels, above, Part(row, row + 1, 0, width))
            for column in range(width):
                part = Part(row, row + 1, column, column + 1)
                mixture = Mixture.of(self._pixel(pixels, above, left, part)[:, :, 0, 0])
                chosen = chosen_pixel(mixture, row, column, choose)
                result[:, :, row, column] = chosen / 255
                pixels[:, :CHANNELS, row + 2, column + 2] = scaled(chosen)
        return result

    def _fill_row(self, pixels: Tensor, above: list[Tensor], part: Part) -> None:
        part.window(above[0], 0, 0).copy_(self._first_above(pixels, part))
        for number in range(len(self.above)):
            part.window(above[number + 1], 0, 0).copy_(self._above(number, above[number], part))

    def _pixel(self, pixels: Tensor, above: list[Tensor], left: list[Tensor], part: Part) -> Tensor:
        """The mixture of one pixel, from what was computed for the pixels before it."""
        features = self._first_left(pixels, part.window(above[0], 0, 0), part)
        for number in range(len(self.left)):
            part.window(left[number], 0, 0).copy_(features)
            features = self._left(number, left[number], part.window(above[number + 1], 0, 0), part)
        return self.last(F.elu(features))


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
