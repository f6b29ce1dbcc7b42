"""Mixtures of discretized logistics over 8-bit levels (Salimans et al., PixelCNN++, ICLR 2017, section 2.1 and 2.2).

A pixel's channels have one mixture component in common, and the mean of a channel depends linearly on the channels
before it. Levels are scaled to [-1, 1]: level / 127.5 - 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CHANNELS, LEVELS = 3, 256
COUPLINGS = CHANNELS * (CHANNELS - 1) // 2
PER_COMPONENT = 1 + 2 * CHANNELS + COUPLINGS
SMALLEST_LOG_SCALE = -7.0


def scaled(levels: Tensor) -> Tensor:
    """Levels 0 to 255 on the scale from -1 to 1."""
    return levels.float() / 127.5 - 1


@dataclass(frozen=True)
class Mixture:
    """The distribution of some pixels: logits (..., K), means and log_scales (..., channel, K), and couplings of the
    pairs of channels (0, 1), (0, 2), (1, 2), (..., pair, K)."""

    logits: Tensor
    means: Tensor
    log_scales: Tensor
    couplings: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> "Mixture":
        """From a network's output (..., K * PER_COMPONENT)."""
        parts = parameters.unflatten(-1, (PER_COMPONENT, -1))
        logits, means, scales, couplings = parts.split([1, CHANNELS, CHANNELS, COUPLINGS], -2)
        return cls(logits.squeeze(-2), means, scales.clamp(min=SMALLEST_LOG_SCALE), couplings.tanh())

    def mean(self, channel: int, before: Tensor) -> Tensor:
        """(..., K): the means of a channel, given the scaled channels before it (..., channel)."""
        first = channel * (channel - 1) // 2
        own = self.couplings[..., first : first + channel, :]
        return self.means[..., channel, :] + (own * before.unsqueeze(-1)).sum(-2)

    def log_probabilities(self, channel: int, before: Tensor, levels: Tensor) -> Tensor:
        """(..., M, K): log-probabilities of levels (..., M) of a channel in each component."""
        mean, log_scale = self.mean(channel, before), self.log_scales[..., channel, :]
        return discretized_logistic(levels.unsqueeze(-1), mean.unsqueeze(-2), log_scale.unsqueeze(-2))

    def log_likelihood(self, levels: Tensor) -> Tensor:
        """(...): log-probability of pixels (..., CHANNELS) in nats."""
        values, total = scaled(levels), self.logits.log_softmax(-1)
        for channel in range(CHANNELS):
            own = levels[..., channel : channel + 1]
            total = total + self.log_probabilities(channel, values[..., :channel], own).squeeze(-2)
        return total.logsumexp(-1)


def discretized_logistic(levels: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log of the logistic distribution's mass in the bin of each level; the outermost bins reach to infinity.

    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), so that no difference of nearly equal numbers is
    computed, and the probabilities of all levels sum to 1.
    """
    inverse = (-log_scale).exp()
    bin_width = 2 / 255 * inverse
    above = inverse * (scaled(levels) + 1 / 255 - mean)
    up_to, beyond = F.logsigmoid(above), F.logsigmoid(bin_width - above)
    inside = up_to + beyond + torch.log(-torch.expm1(-bin_width))
    return torch.where(levels == 0, up_to, torch.where(levels == LEVELS - 1, beyond, inside))
