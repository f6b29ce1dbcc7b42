"""A training's settings, and its constant inputs: data, defense and seed."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from pipeline_lib.clips.augmentation import Augmentation, Unchanged
from pipeline_lib.clips.loader import batch_of
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.entries.ranges import Count, Natural, NonNegative, OpenFraction, method
from pipeline_lib.precision import Precision
from pipeline_lib.training.optimizers import SGD, Optimizer
from pipeline_lib.training.processes import ALONE, Processes
from pipeline_lib.training.schedules import Schedule
from pipeline_lib.training.selection import Selection


@method
class Training:
    """How a network is trained; incomplete last batches are dropped.

    epochs: the papers: up to 15; 0 leaves the weights of `initial` as they are. batch_size: clips of a step of the
    optimizer; the papers: 4. learning_rate: the papers: 5e-4. schedule: `multi_step` (the papers) or `one_cycle`.
    optimizer: `sgd` (the papers) or `adamw`. precision: of matrix products and convolutions: `fp32`, `tf32`, `bf16`.
    compile: `torch.compile` of the network; results differ by rounding. held_out: fraction for `select_on: held_out`.
    augmentation: applied to the clean clips before attacks; none in the papers. accumulate: number of micro-batches
    that a batch is cut into, less memory, the same gradient, but BatchNorm normalizes each micro-batch by itself.
    select_on: the epoch that becomes the model: the most accurate one on `held_out` (a fraction of each class's
    training clips, not trained on), the last, or the most accurate one on the test clips.
    """

    epochs: Natural
    batch_size: Count
    learning_rate: NonNegative
    schedule: Schedule
    optimizer: Optimizer = field(default_factory=SGD)
    augmentation: Augmentation = field(default_factory=Unchanged)
    precision: Precision = "fp32"
    accumulate: Count = 1
    compile: bool = False
    select_on: Literal["held_out", "last", "test"] = "held_out"
    held_out: OpenFraction = 0.1


@dataclass(frozen=True, kw_only=True)
class Task:
    """Inputs of a training, constant while it runs. rows: the clips to train on."""

    defense: Defense
    clips: Clips
    rows: np.ndarray
    settings: Training
    seed: int
    device: torch.device
    selection: Selection | None = None
    processes: Processes = ALONE

    @property
    def steps_per_epoch(self) -> int:
        return len(self.rows) // self.settings.batch_size

    @property
    def steps(self) -> int:
        return self.settings.epochs * self.steps_per_epoch

    def batch(self, step: int) -> np.ndarray:
        """The rows of a step."""
        size, count = self.settings.batch_size, len(self.rows)
        return self.rows[batch_of(step, steps_per_epoch=self.steps_per_epoch, count=count, size=size, seed=self.seed)]

    def shard(self, rows: np.ndarray, micro_batches: int) -> np.ndarray:
        """This process's rows of a batch: its shards of all micro-batches, concatenated."""
        return np.concatenate([self.processes.shard(part) for part in np.array_split(rows, micro_batches)])

    def more_micro_batches(self, micro_batches: int) -> int:
        """Twice as many micro-batches, limited so that each process has a clip in each."""
        return min(2 * micro_batches, self.settings.batch_size // self.processes.count)

    def learning_rate(self, step: int) -> float:
        return self.settings.learning_rate * self.settings.schedule(step / self.steps_per_epoch, self.settings.epochs)
