"""Losses that attacks climb: clips -> (N,), one number per clip; and the state a network is attacked in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]


def cross_entropy(model: Callable[[Tensor], Tensor], labels: Tensor) -> Loss:
    """Untargeted cross-entropy to the true labels (N,), per clip and in float32.

    Per clip, so that a clip's gradient does not depend on the batch size (and does not underflow).
    """

    def loss(clips: Tensor) -> Tensor:
        return F.cross_entropy(model(clips).float(), labels, reduction="none")

    return loss


def divergence(model: Callable[[Tensor], Tensor], reference: Tensor) -> Loss:
    """KL(p || q) per clip: p given by its log-probabilities (N, classes), q the model's softmax (TRADES).

    At clips with q = p its gradient vanishes: start an attack on it beside them.
    """

    def loss(clips: Tensor) -> Tensor:
        return kl_divergence(reference, model(clips).float().log_softmax(1))

    return loss


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each row, (N, classes) -> (N,); gradients go to both."""
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


def expectation(loss: Loss, samples: int) -> Loss:
    """The mean of `samples` calls of a loss whose network draws anew each time (EOT, Athalye et al., ICML 2018)."""

    def mean(clips: Tensor) -> Tensor:
        return torch.stack([loss(clips) for _ in range(samples)]).mean(0)

    return mean


@contextmanager
def attacking(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode and its parameters take no gradients (half the cost of a backward pass).

    Training flags of every submodule and requires_grad of every parameter are restored as they were.
    """
    training = [(part, part.training) for part in network.modules()]
    learning = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval().requires_grad_(False)
        yield
    finally:
        for part, flag in training:
            part.training = flag
        for parameter, flag in learning:
            parameter.requires_grad_(flag)
