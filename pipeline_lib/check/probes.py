"""Facts of a network that need no attack, from a few passes: how its output, mode, gradient and labels behave."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.losses import attacking, loss_and_gradient
from pipeline_lib.attacks.margins import margin
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.check.target import Target, in_eval
from pipeline_lib.errors import PipelineError

# Clips that are probed.
MOST = 16
# Differences of logits above this fraction of their size are no rounding.
RELEVANT = 1e-3
# Fraction of pixels without a gradient from which the reason is looked for.
MANY_ZEROS = 0.05
# A network that clips has a gradient on this fraction of the pixels between its limits.
INSIDE = 0.9


def checked_logits(target: Target, rows: Sequence[int], classes: int | None) -> Tensor:
    """The logits (n, classes) of the clips, by the network as it is in eval mode.

    Raises:
        PipelineError: in one sentence, for an output that is no logits for these labels, or that is not finite.
    """
    with torch.no_grad(), in_eval(target.network), target.random_numbers(rows[:1], "prediction 0"):
        output = target.network(target.clips[rows[:1]])
    if not isinstance(output, Tensor):
        raise PipelineError(
            f"the network returns a {type(output).__name__}: wrap it in a module that returns the logits"
        )
    if output.dim() != 2 or output.shape[0] != 1:
        raise PipelineError(f"the network returns {tuple(output.shape)} for one clip: logits are (1, classes)")
    if classes is not None and output.shape[1] != classes:
        raise PipelineError(f"the network returns {output.shape[1]} logits, and {classes} classes are stated")
    largest = int(target.labels.max())
    if largest >= output.shape[1] or output.shape[1] < 2:
        raise PipelineError(f"a label is {largest}, and the network returns {output.shape[1]} logits")
    if output.dtype in (torch.float16, torch.bfloat16):
        raise PipelineError(f"the network returns {output.dtype}: use network.float(), gradients would underflow")
    logits = target.logits(target.clips[rows], rows)
    if not logits.isfinite().all():
        broken = [rows[i] for i in (~logits.isfinite().all(1)).nonzero().flatten().tolist()]
        raise PipelineError(
            f"the network returns NaN or infinite logits on {len(broken)} clips, first {target.names[broken[0]]}"
        )
    return logits


def of_outputs(target: Target, rows: Sequence[int], modes: Sequence[bool]) -> dict[str, Any]:
    """Whether outputs are constant, random, probabilities, quantized, or depend on the mode or the batch.

    modes: training flag of each module, as the network was given.
    """
    clips = target.clips[rows]
    logits = target.logits(clips, rows)
    size = float(logits.abs().max()) + 1e-12
    facts: dict[str, Any] = {"random": bool((target.logits(clips, rows, 1) - logits).abs().max() > 1e-6 * size)}
    shown = torch.cat([logits, target.logits(_unlike(clips[:1]), list(rows[:1]) * 2)])
    facts["constant"] = bool((shown - shown[:1]).abs().max() <= 1e-6 * size)
    sums = logits.sum(1)
    facts["probabilities"] = bool(logits.min() >= 0 and (sums - 1).abs().max() < 1e-3)
    facts["distinct_logits"] = 1.0 if len(rows) < 4 else float(logits.unique().numel() / logits.numel())
    facts["batch_gap"] = 0.0
    if not facts["random"]:
        alone = torch.cat([target.logits(clips[i : i + 1], rows[i : i + 1]) for i in range(min(3, len(rows)))])
        facts["batch_gap"] = float((alone - logits[: len(alone)]).abs().max()) / size
    facts["train_mode"] = _mode_fault(target, rows, modes, logits, facts["random"])
    return facts


def _unlike(clip: Tensor) -> Tensor:
    """A black and a white clip."""
    return torch.cat([torch.zeros_like(clip), torch.ones_like(clip)])


def _mode_fault(target: Target, rows: Sequence[int], modes: Sequence[bool], logits: Tensor, random: bool) -> str:
    """The fault of the network's mode in a sentence, empty for a sound one."""
    network = target.network.network
    with in_eval(network):
        stuck = [name for name, part in network.named_modules() if part.training]
    if stuck:
        return f"{stuck[0] or 'The network'} stays in train mode after eval()."
    if not any(modes) or random:
        return ""
    with kept_buffers(network), torch.no_grad(), torch.random.fork_rng(devices=[]):
        for part, mode in zip(network.modules(), modes, strict=True):
            part.training = mode
        try:
            given = target.network(target.clips[rows]).float()
        finally:
            network.eval()
    different = (given - logits).abs().max() > RELEVANT * logits.abs().max()
    return "The network is in train mode, in which its predictions are others." if different else ""


@contextmanager
def kept_buffers(network: nn.Module) -> Iterator[None]:
    """Buffers, such as BatchNorm's statistics, are afterwards as before."""
    before = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


def of_gradients(target: Target, rows: Sequence[int]) -> dict[str, Any]:
    """Fraction of clips whose gradient is zero, and of pixels that have none because of their value."""
    gradient = margin_gradient(target, rows)
    zeros = gradient == 0
    facts: dict[str, Any] = {"zero_gradients": float(zeros.flatten(1).all(1).float().mean())}
    facts["zero_elements"] = float(zeros.float().mean())
    some = zeros[~zeros.flatten(1).all(1)]
    values = target.clips[rows][~zeros.flatten(1).all(1)]
    facts["clipped"] = clipped(values, some) if len(some) and some.float().mean() > MANY_ZEROS else 0.0
    return facts


def margin_gradient(target: Target, rows: Sequence[int]) -> Tensor:
    """The gradient (n, C, ...) of the margin at the clips. Raises PipelineError if it is not finite."""
    found = []
    for batch in target.batches(len(rows)):
        some = rows[batch]
        clips, loss = target.clips[list(some)], _margin_of(target, some)
        with attacking(target.network), target.random_numbers(some, "gradient"):
            found.append(loss_and_gradient(loss, clips)[1])
    gradient = torch.cat(found)
    if not gradient.isfinite().all():
        raise PipelineError("the network's gradient is not finite (NaN or infinite): attacks need one")
    return gradient


def _margin_of(target: Target, rows: Sequence[int]) -> Loss:
    labels = target.labels[list(rows)]
    return lambda clips: margin(target.network(clips).float(), labels)


def clipped(values: Tensor, zeros: Tensor) -> float:
    """The fraction of elements outside limits that decide alone which elements have a gradient; 0 without such.

    A network that clips a normalized input has, per channel, a darkest and a brightest value with a gradient: nearly
    all elements between them have one, and none outside. Where positions decide (strides, pooling), zeros lie between.
    """
    outside = 0.0
    for channel in range(values.shape[1]):
        value, zero = values[:, channel], zeros[:, channel]
        low, high = value[~zero].aminmax() if (~zero).any() else (value.max() + 1, value.min() - 1)
        within = (value >= low) & (value <= high)
        if within.any() and (~zero)[within].float().mean() < INSIDE:
            return 0.0
        outside += float((~within).float().mean())
    fraction = outside / values.shape[1]
    return fraction if fraction > MANY_ZEROS else 0.0
