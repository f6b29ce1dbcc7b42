"""Expectation over transformation (Athalye et al., ICML 2018): attacks on networks that draw random numbers."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.around import Around
from pipeline_lib.attacks.losses import expectation

# In a field of this name, the configuration accepts an attack's name as well as its entry.
from pipeline_lib.attacks.protocols import LatticeAttack as Attack
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Count, method


@method
class Expectation(Around):
    """`attack` on the mean of the loss over `samples` forward passes; time and memory of each step grow with `samples`.

    An attack's trace has one line per pass.

    attack: the one whose gradients are averaged.
    samples: forward and backward passes per gradient.
    """

    wraps: ClassVar[str] = "attack"
    averages: ClassVar[str] = "samples"
    passes: ClassVar[str] = "samples * attack.passes"
    forwards: ClassVar[str] = "samples * attack.forwards"
    kept_passes: ClassVar[str] = "samples"

    attack: Attack
    samples: Count = 10

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return self.attack(expectation(loss, self.samples), clips, generators)
