"""Expectation over transformation (Athalye et al., ICML 2018): attacks on networks that draw random numbers."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.losses import expectation

# By this name the configuration takes an attack's name as well as its entry.
from pipeline_lib.attacks.protocols import LatticeAttack as Attack
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Count, method


@method
class Expectation:
    """`attack` on the mean of the loss over `samples` forward passes; time and memory of each step grow with them.

    An attack's trace has a line for each pass.
    """

    wraps: ClassVar[str] = "attack"
    averages: ClassVar[str] = "samples"
    passes: ClassVar[str] = "samples * attack.passes"

    attack: Attack
    samples: Count = 10

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return self.attack(expectation(loss, self.samples), clips, generators)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return self.attack.quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """That of an attack with a bound."""
        return self.attack.ratio_to_bound(adversarial, clean)  # type: ignore[attr-defined]
