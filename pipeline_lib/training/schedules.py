"""Learning-rate schedules: a factor on the learning rate as a function of progress alone, without state."""

import math
from typing import Protocol

from pipeline_lib.entries.ranges import method


class Schedule(Protocol):
    """`epoch` runs from 0 to `epochs`, including fractions of an epoch."""

    def __call__(self, epoch: float, epochs: int) -> float: ...


@method
class OneCycle:
    """Linear warm-up over a fraction of the training, then a cosine down to zero.

    warm_up: fraction of the training.
    """

    warm_up: float = 0.2

    def __call__(self, epoch: float, epochs: int) -> float:
        progress = epoch / epochs
        if progress < self.warm_up:
            return progress / self.warm_up
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up)))


@method
class MultiStep:
    """Multiplies by `factor` at the start of each epoch in `milestones` (papers: epoch 7, factor 0.1).

    milestones: epochs, from 0.
    factor: of the learning rate.
    """

    milestones: list[int]
    factor: float = 0.1

    def __call__(self, epoch: float, epochs: int) -> float:
        return self.factor ** sum(epoch >= milestone for milestone in self.milestones)
