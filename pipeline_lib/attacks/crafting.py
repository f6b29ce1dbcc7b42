"""Attacks on any network from Python, without a workflow."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goal_loss import goal_loss, unchanged
from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.guards import finite, require_precision, sound_clips, sound_labels, sound_model
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

    network: clips -> logits (N, classes). It is attacked in eval mode with frozen parameters, and restored afterwards.
    clips: (N, C, T, H, W), or images (N, C, H, W), floats in [0, 1], float64 if the network is; labels: (N,) integers.
        For an attack with a `margin`, they are padded by black pixels, and returned with them.
    loss: transform of the goal's loss, as `loss` in a configuration; e.g. `Adaptive(type="lp")` of
        `pipeline_lib.defenses.adaptive`. By default the loss is unchanged.
    batch_size: clips that are attacked at once, by default all. It limits the memory, and changes no result.
    seed, names: each clip's random draws depend on both, but not on its batch; by default its name is its index.

    Raises:
        ValueError: clips, labels, a network or a precision that are unsuitable, a loss or gradient that is not finite,
            an attack that must be learned first.
    """
    with torch.inference_mode(False):  # also if the caller is in inference mode
        clips, labels, model = _prepared(network, attack, clips, labels)
        generators = clip_generators(seed, [str(i) for i in range(len(clips))] if names is None else names)
        require_one_each(generators, clips)

        def crafted(micro_batch: slice) -> Tensor:
            some, transform = clips[micro_batch], loss or unchanged
            with attacking(network):
                objective = goal_loss(model, some, labels[micro_batch], goal_of(attack), transform=transform)
            with attacking(network, weights_in(attack, "fp32")):
                # A copy: an attack may write into its argument, and callers compare with the clean clips.
                return attack(objective, some.clone(), generators[micro_batch]).detach()

        return finite(torch.cat([crafted(micro_batch) for micro_batch in _micro_batches(len(clips), batch_size)]))


def _prepared(network: nn.Module, attack: Attack, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Model]:
    """The clips with the attack's margin, the labels on the same device, and the model; all checked."""
    _require_learned(attack)
    clips = sound_clips(clips)
    labels = sound_labels(labels, clips)
    require_precision(network, clips)
    if margin := margin_of(attack):
        clips = nn.functional.pad(clips, [margin] * 4)
    return clips, labels, sound_model(network, labels)


def _micro_batches(count: int, size: int | None) -> list[slice]:
    if size is not None and size < 1:
        raise ValueError(f"batch_size is {size}: it must be at least 1")
    return [slice(start, start + (size or count)) for start in range(0, count, size or count)]


def _require_learned(attack: object) -> None:
    if any(hasattr(type(layer), "learned_by") for layer in layers(attack)):
        name = type(attack).__name__
        raise ValueError(
            f"a {name} must be learned on training clips first (pipeline_lib.evaluation.learning.learn): give "
            "attack.learned(pattern)"
        )
