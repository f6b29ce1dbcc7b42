"""Data-parallel training by several processes of one machine, each on its shard of every batch.

Gradients are summed, and BatchNorm normalizes over the whole batch (`networks.synchronized`). The number of processes
changes a result by rounding only, and is not part of its identity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributed

from pipeline_lib.errors import PipelineError


class MicroBatchTooLargeError(PipelineError):
    """The memory of one of several processes is too small for its shard of a batch: all have to restart."""


@dataclass(frozen=True)
class Processes:
    """Rank of this process and number of processes."""

    rank: int = 0
    count: int = 1

    def shard(self, rows: np.ndarray) -> np.ndarray:
        """This process's consecutive shard of some rows; the first processes get one more if the division is uneven."""
        return np.array_split(rows, self.count)[self.rank]

    def summed(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes, the same in each."""
        if self.count == 1:
            return list(values)
        device = f"cuda:{torch.cuda.current_device()}" if distributed.get_backend() == "nccl" else "cpu"
        total = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return total.tolist()

    def joined(self, values: Tensor, places: np.ndarray, size: int) -> Tensor:
        """(n, ...) of this process, at `places` of a batch -> (size, ...) of all processes, the same in each."""
        if self.count == 1:
            return values
        whole = values.new_zeros((size, *values.shape[1:]))
        whole[torch.from_numpy(places).to(values.device)] = values
        distributed.all_reduce(whole)
        return whole

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces every gradient by its sum over all processes, in one exchange."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(joined)
        parts = joined.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


ALONE = Processes()
