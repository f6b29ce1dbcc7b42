"""Attacks on any network from Python, without a workflow."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goal_loss import goal_loss, unchanged
from pipeline_lib.attacks.goals import check_labels, goal_of
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.protocols import Attack, LossTransform, Model
from pipeline_lib.entries.facts import layers, margin_of
from pipeline_lib.precision import weights_in
from pipeline_lib.randomness.generators import clip_generators, require_one_each


def craft(
    network: nn.Module,
    clips: Tensor,
    labels: Tensor,
    attack: Attack,
    *,
    loss: LossTransform | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Tensor:
    """Adversarial clips, shaped as `clips`, not quantized (`attack.quantize(adversarial, clips)` does that).

    network: clips -> logits (N, classes). It is attacked in eval mode with frozen parameters, and left as it was.
    clips: (N, C, T, H, W), or images (N, C, H, W), floats in [0, 1]; labels: (N,) integers. An attack with a `margin`
        gets it, and returns it: black pixels on each side.
    loss: what the attack climbs, made of the loss of its goal, as `loss` in a configuration; e.g. `Adaptive(type="lp")`
        of `pipeline_lib.defenses.adaptive`. By default that loss itself.
    batch_size: clips that are attacked at once, by default all. It bounds the memory, and changes no result.
    seed, names: each clip's random draws follow from both, whatever batch it is in; by default its name is its place
        among these clips.

    Raises:
        ValueError: clips outside [0, 1], labels that are no classes, a loss or gradient that is not finite, an attack
            that has to be learned first.
    """
    clips, labels = _prepared(attack, clips, labels)
    generators = clip_generators(seed, [str(i) for i in range(len(clips))] if names is None else names)
    require_one_each(generators, clips)
    model = _checked(network, int(labels.max()))

    def crafted(micro_batch: slice) -> Tensor:
        some, transform = clips[micro_batch], loss or unchanged
        with attacking(network):
            climbed = goal_loss(model, some, labels[micro_batch], goal_of(attack), transform=transform)
        with attacking(network, weights_in(attack, "fp32")):
            # A copy: an attack may write into its argument, and the caller compares its result with the clean clips.
            return attack(climbed, some.clone(), generators[micro_batch]).detach()

    return _finite(torch.cat([crafted(micro_batch) for micro_batch in _micro_batches(len(clips), batch_size)]))


def _prepared(attack: Attack, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The clips with the margin that the attack needs, and the labels on their device; both checked."""
    _require_learned(attack)
    _require_clips(clips)
    _require_labels(labels, len(clips))
    if margin := margin_of(attack):
        clips = nn.functional.pad(clips, [margin] * 4)
    return clips, labels.to(clips.device, torch.long)


def _micro_batches(count: int, size: int | None) -> list[slice]:
    if size is not None and size < 1:
        raise ValueError(f"batch_size is {size}: it must be at least 1")
    return [slice(start, start + (size or count)) for start in range(0, count, size or count)]


def _require_learned(attack: object) -> None:
    if any(hasattr(type(layer), "learned_by") for layer in layers(attack)):
        name = type(attack).__name__
        raise ValueError(
            f"a {name} has to be learned on training clips first (pipeline_lib.evaluation.learning.learn): give "
            "attack.learned(pattern)"
        )


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


def _checked(network: nn.Module, largest: int) -> Model:
    """The network, refused if it has no logit for the largest label."""

    def checked(clips: Tensor) -> Tensor:
        logits = network(clips)
        check_labels(logits, largest)
        return logits

    return checked


def _finite(adversarial: Tensor) -> Tensor:
    """The clips themselves. Raises ValueError if some are not finite."""
    broken = adversarial.isnan().flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        raise ValueError(f"the network or its loss is not finite on clips {broken} or on the way from them")
    return adversarial
