"""Checks of the inputs of an attack: clips, labels, network and precision, with one error message each."""

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goals import check_labels
from pipeline_lib.attacks.protocols import Model
from pipeline_lib.precision import NO_FP16

# Largest rounding error of a pixel outside [0, 1]: a few units in the last place of float32.
OF_ROUNDING = 1e-6
BELOW_FLOAT32 = (torch.float16, torch.bfloat16)


def sound_clips(clips: Tensor) -> Tensor:
    """The clips for an attack: without a graph, and clamped to [0, 1] where rounding has put them outside.

    Raises:
        ValueError: another type or shape, a type below float32, values outside [0, 1].
    """
    if not clips.is_floating_point() or clips.dim() not in (4, 5) or not clips.numel():
        raise ValueError(f"clips are {clips.dtype} of shape {tuple(clips.shape)}: give floats (N, C, T, H, W)")
    if clips.dtype in BELOW_FLOAT32:
        raise ValueError(
            f"clips are {clips.dtype}, too coarse for a bound: give float32 (precision bf16 is of the passes)"
        )
    low, high = (value.item() for value in clips.aminmax())
    if not (low >= -OF_ROUNDING and high <= 1 + OF_ROUNDING):
        raise ValueError(
            f"clips range from {low:.9g} to {high:.9g}: attacks need [0, 1], put normalization in the network"
        )
    clips = clips.clone() if clips.is_inference() else clips.detach()
    return clips.clamp(0, 1) if low < 0 or high > 1 else clips


def sound_labels(labels: Tensor, clips: Tensor) -> Tensor:
    """The labels on the clips' device. Raises ValueError unless they are one class number per clip."""
    if labels.shape != clips.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels are {labels.dtype} of shape {tuple(labels.shape)}: give {len(clips)} integers")
    if labels.min() < 0:
        raise ValueError(f"a label is {int(labels.min())}: classes are counted from 0")
    return labels.clone().to(clips.device, torch.long)


def require_precision(network: nn.Module, clips: Tensor) -> None:
    """Raises ValueError where gradients would underflow, or clips and weights are of different types."""
    device = clips.device.type
    if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16:
        raise ValueError(f"craft is called inside autocast(float16): {NO_FP16}")
    weights = [parameter for parameter in network.parameters() if parameter.is_floating_point()]
    types = {weight.dtype for weight in weights}
    if low := types.intersection(BELOW_FLOAT32):
        raise ValueError(f"the network's weights are {min(map(str, low))}: attack network.float() ({NO_FP16})")
    if types == {torch.float64} != {clips.dtype} or (types == {torch.float32} != {clips.dtype}):
        raise ValueError(f"clips are {clips.dtype} and the network's weights {types.pop()}: give both in one type")
    if any(weight.is_inference() for weight in weights):
        raise ValueError("the network was made in inference_mode, which excludes gradients: make it outside of it")


def sound_model(network: nn.Module, labels: Tensor) -> Model:
    """The network as a function of clips. A network that overwrites its input gets copies.

    Raises:
        ValueError: it returns no logits, logits of one class only, or none for the largest label.
    """
    largest, safe = int(labels.max()), keeping_input(network)

    def model(clips: Tensor) -> Tensor:
        logits = safe(clips)
        if not isinstance(logits, Tensor):
            kind = type(logits).__name__
            raise ValueError(f"the network returns a {kind}: wrap it in a module that returns the logits alone")
        check_labels(logits, largest)
        if logits.shape[1] < 2:
            raise ValueError("the network returns one logit: return one per class, for two classes e.g. (0, logit)")
        return logits

    return model


def keeping_input(network: nn.Module) -> Model:
    """The network with unchanged clips: it gets copies where torch refuses that it overwrites them."""
    copies = False

    def kept(clips: Tensor) -> Tensor:
        nonlocal copies
        if copies or not clips.requires_grad:
            return network(clips.clone())
        try:
            return network(clips)
        except RuntimeError as error:
            if "in-place operation" not in str(error):
                raise
            copies = True
            return network(clips.clone())

    return kept


def finite(adversarial: Tensor) -> Tensor:
    """The clips themselves. Raises ValueError if some are not finite."""
    broken = adversarial.isnan().flatten(1).any(1).nonzero().flatten().tolist()
    if broken:
        raise ValueError(f"the network or its loss is not finite on clips {broken} or on iterates from them")
    return adversarial
