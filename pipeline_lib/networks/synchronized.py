"""BatchNorm over the processes of one training: each normalizes its clips by the statistics of the whole batch.

So the number of GPUs changes no result beyond rounding. torch's SyncBatchNorm requires GPUs, this one does not.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """The sum over processes; every process's loss depends on it, so its gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return _summed(value)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(value: Tensor) -> Tensor:
    total = value.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, with its gradient; the tensor itself with one process."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        return _Sum.apply(value)
    return value


class SynchronizedBatchNorm(_BatchNorm):
    """A BatchNorm of any number of dimensions whose statistics in train mode are over all processes' clips."""

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return super().forward(features)
        with torch.autocast(features.device.type, enabled=False):
            return self._normalized(features.float()).to(features.dtype)

    def _normalized(self, features: Tensor) -> Tensor:
        others = [0, *range(2, features.dim())]
        own = features.new_full((1,), features.numel() // features.shape[1])
        # One exchange for both. The centered squares need another one: uncentered squares would lose digits.
        sums, count = summed(torch.cat([features.sum(others), own])).tensor_split([features.shape[1]])
        mean = sums / count
        centered = features - _broadcast(mean, features)
        variance = summed((centered * centered).sum(others)) / count
        self._move(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
        scale = (variance + self.eps).rsqrt() * self.weight
        return torch.addcmul(_broadcast(self.bias, features), centered, _broadcast(scale, features))

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor) -> None:
        statistics: Any = self
        statistics.num_batches_tracked += 1
        statistics.running_mean.lerp_(mean, self.momentum)
        statistics.running_var.lerp_(variance, self.momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def _broadcast(values: Tensor, features: Tensor) -> Tensor:
    """(C,) in a shape that broadcasts with (N, C, ...)."""
    return values.view(1, -1, *[1] * (features.dim() - 2))


def synchronize(network: nn.Module) -> nn.Module:
    """The network with synchronized BatchNorms, in place; parameters, buffers and their names are kept."""
    for part in network.modules():
        if isinstance(part, _BatchNorm):
            part.__class__ = SynchronizedBatchNorm
    return network
