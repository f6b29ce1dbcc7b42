"""MultiBN's selection module: a small network that weights the BatchNorm branches of another one, per clip.

z_hat = sum_k rho_k * BN_k(z) at every BatchNorm with branches; a clip has the same weights rho in all layers (Lo and
Patel, IEEE T-IP 2022). Computed as one affine map per clip and channel, at about the cost of one BatchNorm.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.context import holding
from pipeline_lib.entries.ranges import Positive, method
from pipeline_lib.networks.extension import head_of
from pipeline_lib.networks.multi_batchnorm import branches_of, present_route, routed
from pipeline_lib.networks.synchronized import summed


class Weighting(Protocol):
    def __call__(self, logits: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Logits (N, K) of the selection module -> weights (N, K) of the branches; each row sums to 1.

        generators: one per clip, for weightings with random draws in training; without them nothing is drawn.
        """


@method
class Softmax:
    """The released network's weighting, in training and at test.

    temperature: divides the logits.
    """

    temperature: Positive = 1.0

    def __call__(self, logits: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        return (wide(logits) / self.temperature).softmax(1)


@method
class GumbelSoftmax:
    """The slides' weighting (Jang et al., ICLR 2017): softmax of logits with Gumbel noise in training.

    Attacks and tests use no noise: attacks on a random defense would need averaged gradients.
    hard: one branch, with the gradient of the soft weights (straight-through).

    temperature: divides the logits.
    """

    temperature: Positive = 1.0
    hard: bool = False

    def __call__(self, logits: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        logits = wide(logits)
        noisy = logits if generators is None else logits + gumbel_noise(logits, generators)
        soft = (noisy / self.temperature).softmax(1)
        if not self.hard:
            return soft
        return F.one_hot(soft.argmax(1), soft.shape[1]) - soft.detach() + soft


def wide(values: Tensor) -> Tensor:
    """Values in fp32, or unchanged in fp64: a network may return them in bf16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def gumbel_noise(logits: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """(N, K) from the standard Gumbel distribution; row n is drawn from generator n."""
    draws = [torch.empty(logits.shape[1]).exponential_(generator=g) for g in generators]
    return -torch.stack(draws).to(logits).log()


@dataclass(frozen=True, eq=False)
class Mixture:
    """A route through all branches at once: their weighted sum for every clip.

    weights: (N, K), each row sums to 1. fractions: (N, K), weight of a clip in the batch statistics of a branch, used
    in train mode only; eval mode uses the running statistics. So does a branch in which all fractions are 0.
    """

    weights: Tensor
    fractions: Tensor | None = None

    @property
    def clips(self) -> int:
        return len(self.weights)

    @cached_property
    def counts(self) -> Tensor:
        """(K,): the sum of the fractions over all processes of the training; the same in every layer."""
        return summed(self.fractions.sum(0))  # type: ignore[union-attr]

    @cached_property
    def numbers(self) -> list[float]:
        """The counts as Python numbers. Reading them waits for the device, so it is done once for all layers."""
        return self.counts.tolist()

    def normalize(self, branches: nn.ModuleList, features: Tensor) -> Tensor:
        # In fp32 as BatchNorm under autocast; the products below would be in bf16.
        with torch.autocast(features.device.type, enabled=False):
            return self._normalized(branches, wide(features)).to(features.dtype)

    def _normalized(self, branches: nn.ModuleList, features: Tensor) -> Tensor:
        mean, variance = self._moments(branches, features)
        first: Any = branches[0]
        scale = stacked(branches, "weight") * (variance + first.eps).rsqrt()
        shift = stacked(branches, "bias") - mean * scale
        shape = (*features.shape[:2], *[1] * (features.dim() - 2))
        return torch.addcmul((self.weights @ shift).view(shape), features, (self.weights @ scale).view(shape))

    def _moments(self, branches: nn.ModuleList, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance (K, C) that each branch normalizes with."""
        running = stacked(branches, "running_mean"), stacked(branches, "running_var")
        if not branches[0].training:
            return running
        if self.fractions is None:
            raise RuntimeError("in train mode a mixture needs the fractions of the clips in the batch statistics")
        used = self.counts > 0
        mean, variance = weighted_moments(features, self.fractions, self.counts)
        update_statistics(branches, features, self.numbers, mean.detach(), variance.detach())
        return torch.where(used[:, None], mean, running[0]), torch.where(used[:, None], variance, running[1])


def stacked(branches: nn.ModuleList, name: str) -> Tensor:
    """(K, C): a parameter or buffer of every branch."""
    return torch.stack([getattr(branch, name) for branch in branches])


def weighted_moments(features: Tensor, fractions: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (K, C) of features (N, C, ...) in which clip n has weight fractions[n, k].

    counts: (K,), the sum of the fractions over all processes of the training. The moments are over all processes, too.
    """
    variance, mean = torch.var_mean(features.flatten(2), 2, correction=0)
    portions = (fractions / counts.clamp_min(torch.finfo(fractions.dtype).tiny)).T
    means = summed(portions @ mean)
    between = torch.einsum("kn,knc->kc", portions, (mean - means[:, None]) ** 2)
    return means, summed(portions @ variance + between)


@torch.no_grad()
def update_statistics(
    branches: Iterable[Any], features: Tensor, counts: Sequence[float], mean: Tensor, variance: Tensor
) -> None:
    """Updates the running statistics of every branch with a count above 0, as BatchNorm does with its batch."""
    pixels = features[0, 0].numel()
    for branch, count, m, v in zip(branches, counts, mean, variance, strict=True):
        if count > 0:
            branch.num_batches_tracked += 1
            branch.running_mean.lerp_(m, branch.momentum)
            branch.running_var.lerp_(v * (count * pixels / max(count * pixels - 1, 1)), branch.momentum)


class Selection(NamedTuple):
    """The output of a selection module for a batch: logits (N, K), one per branch."""

    logits: Tensor
    branches: tuple[str, ...]


_RECORDED: ContextVar[list[Selection] | None] = ContextVar("recorded", default=None)


def record_selections() -> AbstractContextManager[list[Selection]]:
    """Inside, the list fills with the selections of selection modules, one per forward pass of their network.

    A loss or a score then needs no second pass, even if the network is wrapped.
    """
    return holding(_RECORDED, [])


_CHOICE: ContextVar[Callable[[Tensor], Mixture] | None] = ContextVar("choice", default=None)


def choosing(choice: Callable[[Tensor], Mixture]) -> AbstractContextManager[Callable[[Tensor], Mixture]]:
    """Inside, `choice` makes the mixture of a selection module's logits; in training, from the clips' types."""
    return holding(_CHOICE, choice)


class SelectedNetwork(nn.Module):
    """A network with branches (`target`) and the selection module that computes their weights from the clip.

    Inside a route (a fixed branch), the route is used instead.
    """

    def __init__(self, target: nn.Module, selector: nn.Module, weighting: Weighting) -> None:
        super().__init__()
        self.target, self.selector, self.weighting = target, selector, weighting
        self.batchnorm_branches = branches_of(target)
        self.head = f"target.{head_of(target)}"

    def forward(self, clips: Tensor) -> Tensor:
        if present_route() is not None:
            return self.target(clips)
        selection = self.selector(clips)
        if (recorded := _RECORDED.get()) is not None:
            recorded.append(Selection(selection, self.batchnorm_branches))
        choice = _CHOICE.get() or (lambda logits: Mixture(self.weighting(logits)))
        with routed(choice(selection)):
            return self.target(clips)


def network_for_weights(network: nn.Module, weights: Iterable[str]) -> nn.Module:
    """The part of a network that weights with these keys belong to: the target, if they have no selection."""
    if isinstance(network, SelectedNetwork) and not any(key.startswith("target.") for key in weights):
        return network.target
    return network


def selector_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a selection module among those of its whole network; those of any other network are unchanged."""
    own = {key: tensor for key, tensor in weights.items() if key.startswith("selector.")}
    return {key.removeprefix("selector."): tensor for key, tensor in own.items()} or dict(weights)
