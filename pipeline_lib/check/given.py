"""The attack of the evaluation that is checked: what it does to the network, and to the clips."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.check.target import Target, in_eval
from pipeline_lib.check.threats import Threat
from pipeline_lib.errors import PipelineError

GivenAttack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(network, clips, labels) -> adversarial clips, as an evaluation of one's own calls it."""


class Watched:
    """A network's passes while an attack of others uses it: facts by name."""

    def __init__(self) -> None:
        self.gradients = 0
        self.train_mode = self.half = False
        self.low, self.high = 0.0, 1.0
        self.zero: list[float] = []

    def before(self, network: nn.Module, given: tuple[Any, ...]) -> None:
        if not given or not isinstance(given[0], Tensor):
            return
        clips = given[0]
        self.train_mode |= any(part.training for part in network.modules())
        autocast = torch.is_autocast_enabled(clips.device.type)
        fp16 = autocast and torch.get_autocast_dtype(clips.device.type) == torch.float16
        self.half |= fp16 or clips.dtype == torch.float16
        self.low = min(self.low, float(clips.detach().min()))
        self.high = max(self.high, float(clips.detach().max()))
        if clips.requires_grad:
            self.gradients += 1
            clips.register_hook(self._note)

    def after(self, network: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        self.half |= isinstance(output, Tensor) and output.dtype == torch.float16

    def _note(self, gradient: Tensor) -> None:
        self.zero.append(float((gradient == 0).flatten(1).all(1).float().mean()))


def given_clips(attack: GivenAttack, target: Target, rows: Sequence[int]) -> tuple[Tensor, dict[str, Any]]:
    """The adversarial clips of an attack of others on these rows, and facts about its passes."""
    network = target.network.network
    watched, found = Watched(), []
    hooks = [network.register_forward_pre_hook(watched.before), network.register_forward_hook(watched.after)]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for batch in target.batches(len(rows)):
            some = list(rows[batch])
            with in_eval(network), target.random_numbers(some, "given"), torch.enable_grad():
                clips = target.clips[some].clone()
                found.append(_sound(attack(network, clips.clone(), target.labels[some].clone()), clips))
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
    facts = {
        "gradients": watched.gradients,
        "train_mode": watched.train_mode,
        "half": watched.half,
        "low": watched.low,
        "high": watched.high,
        "zero_gradients": sum(watched.zero) / len(watched.zero) if watched.zero else 0.0,
    }
    return torch.cat(found), facts


def given_bound(clips: Tensor, target: Target, rows: Sequence[int], threat: Threat) -> dict[str, Any]:
    """Largest ratio to the bound, distance from [0, 1], and fraction of unchanged clips."""
    clean = target.clips[list(rows)]
    attack: Ascent = threat.attack(1)
    inside = clips.clamp(0, 1)
    return {
        "ratio": float(attack.ratio_to_bound(inside, clean).max()),
        "excess": float(torch.maximum(clips - 1, -clips).max().clamp_min(0)),
        "unchanged": float((clips == clean).flatten(1).all(1).float().mean()),
    }


def _sound(adversarial: Any, clips: Tensor) -> Tensor:
    if not isinstance(adversarial, Tensor) or adversarial.shape != clips.shape:
        got = tuple(adversarial.shape) if isinstance(adversarial, Tensor) else type(adversarial).__name__
        raise PipelineError(f"the given attack returns {got} for clips of shape {tuple(clips.shape)}")
    adversarial = adversarial.detach().to(clips)
    if not adversarial.isfinite().all():
        raise PipelineError("the given attack returns clips with NaN or infinite values")
    return adversarial
