"""Ascent on a few parameters of a change, such as an angle or the color of a flicker, instead of on pixels.

A change that is no distance from the clip (a rotation, fog, another order of colors) has no norm ball. Its bound is the
range of its parameters, which are scaled to [-1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from pipeline_lib.attacks.ascent import BestIterate, zero_or_nan
from pipeline_lib.attacks.goals import Goal, Untargeted
from pipeline_lib.attacks.losses import in_bfloat16, loss_and_gradient
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Count, PositiveFraction, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.precision import Precision, check_precision
from pipeline_lib.randomness.generators import require_one_each


def no_cost(parameters: Tensor) -> Tensor:
    """Zeros (N,)."""
    return parameters.new_zeros(len(parameters))


class Drawn(NamedTuple):
    """A change of some clips with everything that is random drawn.

    first: parameters (N, ...) in [-1, 1], from which the ascent starts.
    show: parameters to clips of the same shape as the clean ones in [0, 1], differentiable in the parameters.
    cost: parameters to (N,), subtracted from the loss.
    """

    first: Tensor
    show: Callable[[Tensor], Tensor]
    cost: Callable[[Tensor], Tensor] = no_cost


class Variation(Protocol):
    def __call__(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """The change of these clips, drawn with one generator per clip."""


@method
class ParameterAscent:
    """Ascent by the sign of the gradient on the parameters of a variation. Each clip keeps its best iterate.

    variation: what the parameters do to a clip.
    steps: each costs one forward and one backward pass; the last iterate costs one forward pass more.
    step_size: of each parameter, as a fraction of half its range.
    restarts: ascents from new draws, of which each clip keeps the iterate of largest loss.
    goal: the caller makes the loss from it.
    precision: of the passes; clips and parameters are float32.
    """

    passes: ClassVar[str] = "restarts * (steps + 1)"
    forwards: ClassVar[str] = "restarts"

    variation: Variation
    steps: Count
    step_size: PositiveFraction = 0.25
    restarts: Count = 1
    goal: Goal = field(default_factory=Untargeted)
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if check_precision("precision", self.precision) == "tf32":
            raise PipelineError("precision is tf32: for all attacks of a run it is evaluation.precision")

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Changed clips in [0, 1], not quantized; NaN where a loss or gradient is not finite.

        loss: clips -> (N,); generators: one per clip. Run it inside `attacking(network)`.
        """
        require_one_each(generators, clips)
        loss = in_bfloat16(loss) if self.precision == "bf16" else loss
        best = BestIterate(clips)
        for _ in range(self.restarts):
            self._ascend(loss, self.variation(clips, generators), best)
        return best.clips

    def _ascend(self, loss: Loss, drawn: Drawn, best: BestIterate) -> None:
        """Offers all iterates of one ascent."""
        parameters = drawn.first
        for _ in range(self.steps):
            losses, gradient = loss_and_gradient(lambda at: loss(drawn.show(at)) - drawn.cost(at), parameters)
            self._offer(drawn, parameters, losses, zero_or_nan(gradient), best)
            parameters = (parameters + self.step_size * gradient.sign()).clamp(-1, 1)
        with torch.no_grad():
            last = loss(drawn.show(parameters)) - drawn.cost(parameters)
        self._offer(drawn, parameters, last, zero_or_nan(parameters), best)

    def _offer(self, drawn: Drawn, parameters: Tensor, losses: Tensor, overflow: Tensor, best: BestIterate) -> None:
        with torch.no_grad():
            shown = drawn.show(parameters)
        failed = overflow.flatten() + 0 * losses
        best.offer(shown + per_clip(failed, shown), losses + failed)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest clips on the 8-bit lattice. Raises PipelineError for clips of NaN."""
        if adversarial.isnan().any():
            raise PipelineError("a gradient of the attack is not finite: the network or its loss overflows")
        return on_lattice(adversarial)


def uniform(shape: Sequence[int], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """(N, *shape) in [-1, 1], one generator per clip; on the device of `like`."""
    drawn = [2 * torch.rand(tuple(shape), generator=generator) - 1 for generator in generators]
    return torch.stack(drawn).to(like)
