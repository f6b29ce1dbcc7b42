"""The interfaces of attacks, and the types that attacks and networks exchange.

Only protocols and type aliases: every attack, defense and evaluation depends on this file, so it imports none of them.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor

Model = Callable[[Tensor], Tensor]
"""Clips (N, C, T, H, W) or (N, C, H, W) in [0, 1] to logits (N, classes)."""

Loss = Callable[[Tensor], Tensor]
"""Clips to one number per clip, (N,), larger where the attack is nearer to its goal."""

Criterion = Callable[[Tensor], Tensor]
"""Logits (N, classes) in float32 to (N,): the part of a loss after the model."""

LossTransform = Callable[[Loss], Loss]
"""The loss that an attack maximizes instead of the given one: the `loss` of an attack's entry."""


class Attack(Protocol):
    """Maximizes `loss` around the clips, with one generator per clip.

    Optional members, which are read where they exist:
    - `goal` (`goals.Goal`): the loss is made from it; without it, untargeted cross-entropy.
    - `precision` (`precision.Precision`): of its passes; without it, that of the run.

    Facts that its class may declare as constants (`entries.facts`), most of them the name of a field or property:
    - `title`: its name in words, below tables (`entries.phrases`); so may the class of any entry.
    - `wraps`: the attack inside it, whose goal and precision apply if it has none of its own.
    - `adds_margin`: number of black pixels added on each side of the clips before the attack.
    - `learned_by`: how its pattern is learned first; the attack is then a `Universal`.
    - `bounded_by`: the attack whose bound, region and start's center it has.
    - `strongest_of`: the attack or attacks of one bound that it runs, keeping each clip's strongest result.
    - `passes`: a formula for its forward-backward passes.
    - `offers_clean` (bool): the clean clip is one of its candidates, and may be the strongest.
    - `keeps_weights` (bool): it also scores clips, so the network's weights are not rounded for it.
    """

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor: ...


class LatticeAttack(Attack, Protocol):
    """An attack that can quantize its result to the 8-bit lattice, inside its bound if it is a `BoundedAttack`."""

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest clips inside the bound that are multiples of 1/255."""


class BoundedAttack(LatticeAttack, Protocol):
    """An attack that measures its change relative to its bound."""

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): at most 1 inside the bound, up to the rounding of float32."""


class Learning(Protocol):
    """How a pattern is learned on training clips (`framing.Adam`)."""

    @property
    def epochs(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def decay(self) -> float: ...

    @property
    def decay_every(self) -> int: ...


class Universal(Protocol):
    """An attack with a pattern that is learned once for a model."""

    learned_by: ClassVar[str]
    """The name of the field with its `Learning`."""

    def pattern(self, shape: tuple[int, ...]) -> Tensor:
        """The first pattern for clips (C, T, H, W)."""

    def show(self, pattern: Tensor, clips: Tensor) -> Tensor:
        """Clips (N, C, T, H, W) with the pattern; differentiable in the pattern."""

    def learned(self, pattern: Tensor) -> LatticeAttack:
        """The attack that applies a learned pattern."""
