"""Operations, memory and calls of a transform in front of a network, counted while it runs on clips without content.

On the meta device if the transform works there, else on random clips; small images on these first, as an operator
without content takes longer than one on so few values. A transform of a generator is counted with the generator's real
network. What it computes outside torch, in a program or a loop of numpy, is not seen: its class states that time in
`seconds` (`jobs/costs.py`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline_lib.defenses.transformed import NO_CLASSES, generator_of
from pipeline_lib.entries.building import build
from pipeline_lib.jobs.counts import Counts
from pipeline_lib.plan.counting import CLIPS, Counter
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.transforms.bpda import Transform

# Positions of a clip up to which it is counted on random values first.
FEW_POSITIONS = 64 * 64


def counted_transform(entry: Mapping[str, Any], shape: Sequence[int]) -> Counts:
    """The counts of a resolved transform, per clip of (frames, height, width); calls per batch.

    An attack has the backward pass of a differentiable transform only; others it passes by BPDA.

    Raises:
        Exception: whatever a transform raises that works on neither device.
    """
    transform: Any = build(entry)
    devices = ("cpu", "meta") if math.prod(shape) <= FEW_POSITIONS else ("meta", "cpu")
    try:
        return _counted(transform, torch.device(devices[0]), shape)
    except Exception:  # what a transform of the user raises without values
        return _counted(transform, torch.device(devices[1]), shape)


def _counted(transform: Transform, device: torch.device, shape: Sequence[int]) -> Counts:
    call = _function(transform, device, CLIPS)
    clips = torch.rand(CLIPS, 3, *shape, device="cpu").to(device)
    forward = _pass(lambda: _without_gradient(call, clips))
    to_input = _pass(lambda: _to_input(call, clips)) if transform.differentiable else forward
    passes = {"forward": forward, "to_input": to_input, "training": forward}
    return Counts(
        parameters=0,
        operations={name: one.operations / CLIPS for name, one in passes.items()},
        memory={name: one.peak / CLIPS for name, one in passes.items()},
        elements={name: one.elements / CLIPS for name, one in passes.items()},
        calls={name: one.calls for name, one in passes.items()},
    )


def real_transform(
    entry: Mapping[str, Any], shape: Sequence[int], count: int, device: torch.device
) -> Callable[[], None]:
    """A call of a resolved transform of `count` random clips without gradients, for its time."""
    call, clips = _function(build(entry), device, count), torch.rand(count, 3, *shape, device=device)

    def timed() -> None:
        _without_gradient(call, clips)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return timed


def _function(transform: Any, device: torch.device, count: int) -> Callable[[Tensor], Tensor]:
    """The transform as a function of `count` clips, with a generator without trained weights."""
    made_by = generator_of(transform)
    if made_by is not None:
        with device:
            transform = transform.learned(made_by(NO_CLASSES).eval().requires_grad_(False))
    if not transform.stochastic:
        return transform
    generators = clip_generators(0, [str(clip) for clip in range(count)])
    return lambda clips: transform(clips, generators)


def _without_gradient(call: Callable[[Tensor], Tensor], clips: Tensor) -> None:
    with torch.no_grad():
        call(clips)


def _to_input(call: Callable[[Tensor], Tensor], clips: Tensor) -> None:
    leaf = clips.detach().requires_grad_()
    torch.autograd.grad(call(leaf).sum(), leaf)


def _pass(call: Callable[[], None]) -> Counter:
    with Counter() as counter:
        call()
    return counter
