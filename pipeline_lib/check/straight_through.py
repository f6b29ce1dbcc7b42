"""BPDA for any network: parts of it that keep the shape and have no gradient get that of the identity."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.losses import attacking
from pipeline_lib.check.target import Target
from pipeline_lib.defenses.transformed import PreHook
from pipeline_lib.transforms.bpda import StraightThrough


def blocks(target: Target, rows: Sequence[int]) -> list[str]:
    """The names of the innermost parts whose output has the shape of their input, and no gradient to it."""
    found: dict[str, None] = {}
    parts = {name: part for name, part in target.network.named_modules() if name}
    hooks = [part.register_forward_hook(_noting(name, found)) for name, part in parts.items()]
    some = list(rows[:2])
    try:
        with attacking(target.network), target.random_numbers(some, "gradient"), torch.enable_grad():
            target.network(target.clips[some].clone().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    inner = [name for name in found if not any(other.startswith(f"{name}.") for other in found)]
    return inner + [name for name, part in parts.items() if _cut_hooks(part)]


@contextmanager
def straight_through(network: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Inside, these parts of the network have the gradient of the identity."""
    parts = [network.get_submodule(name) for name in names]
    before = [(part, dict(part._forward_pre_hooks)) for part in parts]
    hooks = [part.register_forward_hook(_identity_backward) for part in parts if not _cut_hooks(part)]
    try:
        for part, given in before:
            for key, own in given.items():
                part._forward_pre_hooks[key] = _through(own)
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part, given in before:
            part._forward_pre_hooks.update(given)


def _through(hook: Any) -> Any:
    return replace(hook, backward="bpda") if _is_cut(hook) else hook


def _is_cut(hook: Any) -> bool:
    """Whether a hook is a transform of this package whose gradient is zero on purpose."""
    return isinstance(hook, PreHook) and hook.backward == "none" and not hook.transform.differentiable


def _cut_hooks(part: nn.Module) -> bool:
    """Whether a transform of this package without a gradient is in front of the part."""
    return any(map(_is_cut, part._forward_pre_hooks.values()))


def _noting(name: str, found: dict[str, None]) -> Any:
    def note(part: nn.Module, given: tuple[Any, ...], output: Any) -> Tensor | None:
        if not _is_same_shape(given, output) or not given[0].requires_grad:
            return None
        if _has_gradient(given[0], output):
            return None
        found[name] = None
        # The parts behind this one need a gradient to be examined.
        return _identity_backward(part, given, output)

    return note


def _identity_backward(part: nn.Module, given: tuple[Any, ...], output: Any) -> Tensor | None:
    if not _is_same_shape(given, output) or not given[0].requires_grad:
        return None
    value = output.detach()
    return StraightThrough.apply(given[0], lambda _: value.clone())


def _is_same_shape(given: tuple[Any, ...], output: Any) -> bool:
    return (
        bool(given) and isinstance(given[0], Tensor) and isinstance(output, Tensor) and given[0].shape == output.shape
    )


def _has_gradient(given: Tensor, output: Tensor) -> bool:
    if not output.requires_grad:
        return False
    with suppress(RuntimeError):
        (gradient,) = torch.autograd.grad(output.sum(), given, retain_graph=True, allow_unused=True)
        if gradient is not None and bool((gradient != 0).any()):
            return True
        # A sum may be constant (softmax): weights break the tie.
        weights = torch.linspace(0.5, 1.5, output.numel(), device=output.device).view_as(output)
        (gradient,) = torch.autograd.grad((output * weights).sum(), given, retain_graph=True, allow_unused=True)
        return gradient is not None and bool((gradient != 0).any())
    return True
