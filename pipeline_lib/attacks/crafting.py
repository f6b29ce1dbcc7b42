"""Attacks on any network from Python, without a workflow."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goals import check_labels, goal_of
from pipeline_lib.attacks.losses import Criterion, Loss, attacking, on_logits
from pipeline_lib.attacks.randomness import clip_generators


class Attack(Protocol):
    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor: ...


def craft(
    network: nn.Module,
    clips: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Tensor:
    """Adversarial clips, shaped as `clips`, not quantized (`attack.quantize(adversarial, clips)` does that).

    network: clips -> logits (N, classes). It is attacked in eval mode with frozen parameters, and left as it was.
    clips: (N, C, T, H, W), or images (N, C, H, W), floats in [0, 1]; labels: (N,) integers.
    seed, names: each clip's random draws follow from both, whatever batch it is in; by default its name is its place
        in this batch.

    Raises:
        ValueError: clips outside [0, 1], labels that are no classes, or a loss or gradient that is not finite.
    """
    _require_clips(clips)
    _require_labels(labels, len(clips))
    labels = labels.to(clips.device, torch.long)
    names = [str(i) for i in range(len(clips))] if names is None else names
    generators = clip_generators(seed, names)
    with attacking(network):
        criterion = goal_of(attack).criterion(network, clips, labels)
        adversarial = attack(on_logits(network, _checked(criterion, labels)), clips, generators).detach()
    _require_finite(adversarial)
    return adversarial


def _require_clips(clips: Tensor) -> None:
    if not clips.is_floating_point() or clips.dim() not in (4, 5) or not clips.numel():
        raise ValueError(f"clips are {clips.dtype} of shape {tuple(clips.shape)}: give floats (N, C, T, H, W)")
    low, high = (value.item() for value in clips.aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"clips reach from {low:g} to {high:g}: attacks take [0, 1], put normalization in the network")


def _require_labels(labels: Tensor, count: int) -> None:
    if labels.shape != (count,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels are {labels.dtype} of shape {tuple(labels.shape)}: give {count} integers")
    if labels.min() < 0:
        raise ValueError(f"a label is {int(labels.min())}: classes are counted from 0")


def _checked(criterion: Criterion, labels: Tensor) -> Criterion:
    """The criterion, which refuses labels that the logits do not have. It looks at the labels once."""
    largest = int(labels.max())

    def checked(logits: Tensor) -> Tensor:
        check_labels(logits, largest)
        return criterion(logits)

    return checked


def _require_finite(adversarial: Tensor) -> None:
    broken = adversarial.isnan().flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        raise ValueError(f"the network or its loss is not finite on clips {broken} or on the way from them")
