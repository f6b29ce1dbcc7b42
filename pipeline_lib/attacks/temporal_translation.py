"""Temporal translation (TT; Wei et al., AAAI 2022): attacks on the mean loss over shifts in time, for transfer."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.around import Around
from pipeline_lib.attacks.kernels import Weights, kernel

# In a field of this name, the configuration accepts an attack's name as well as its entry.
from pipeline_lib.attacks.protocols import LatticeAttack as Attack
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import frames_of


@method
class TemporalTranslation(Around):
    """`attack` on the weighted mean of the loss over cyclic shifts by -`shifts` to `shifts` frames (their Eq. 4).

    Its gradient is that of each shifted clip, shifted back, averaged. Time and memory of each step grow with 2 *
    `shifts` + 1, and the trace has one line per pass.

    attack: the one whose gradients are averaged.
    shifts: largest shift in frames (theirs 7, of 32); a clip needs more frames than that.
    weights: of the shifts: `gaussian`, with a deviation of a third of `shifts`, `linear` or `uniform`.
    """

    title: ClassVar[str] = "temporal translation (TT)"
    wraps: ClassVar[str] = "attack"
    passes: ClassVar[str] = "(2 * shifts + 1) * attack.passes"
    forwards: ClassVar[str] = "(2 * shifts + 1) * attack.forwards"
    kept_passes: ClassVar[str] = "2 * shifts + 1"
    at_least_frames: ClassVar[str] = "shifts + 1"

    attack: Attack
    shifts: Count = 7
    weights: Weights = "gaussian"

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """As of the attack inside. Raises PipelineError for clips of too few frames."""
        frames = frames_of(clips)
        if frames <= self.shifts:
            raise PipelineError(f"shifts is {self.shifts}: clips of {frames} frames have no such shift")
        return self.attack(over_shifts(loss, kernel(self.weights, self.shifts)), clips, generators)


def over_shifts(loss: Loss, weights: Tensor) -> Loss:
    """The mean of a loss with the weights (2 * L + 1,) of cyclic shifts by -L to L frames."""
    reach = len(weights) // 2
    # The clips themselves first: a set's audit compares the first two calls, those of the first and second iterate.
    shifts = sorted(range(-reach, reach + 1), key=abs)

    def mean(clips: Tensor) -> Tensor:
        losses = [float(weights[reach + shift]) * loss(clips.roll(shift, 2)) for shift in shifts]
        return torch.stack(losses).sum(0)

    return mean
