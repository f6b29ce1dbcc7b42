"""Normalization of clips inside the network, so that every epsilon is on the [0, 1] scale."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError


class Normalization(Protocol):
    """Makes a module without state-dict entries: clips in [0, 1] -> the input of the network's first layer."""

    def __call__(self) -> nn.Module: ...


@method
class ChannelNormalization:
    """(clips - mean) / std for each of the three channels; both on the [0, 1] scale of the clips.

    mean, std: three numbers each.
    """

    mean: list[float]
    std: list[float]

    def __post_init__(self) -> None:
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3:
                raise PipelineError(f"normalization.{key} is {list(values)}: give three numbers, one per channel")
        if min(self.std) <= 0:
            raise PipelineError(f"normalization.std is {list(self.std)}: give numbers above 0")

    def __call__(self) -> nn.Module:
        return Channels(self.mean, self.std)


class Channels(nn.Module):
    """(N, C, ...) -> the same shape. Its buffers are not in the state dict: weights load with and without it."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, clips: Tensor) -> Tensor:
        shape = (-1, *[1] * (clips.dim() - 2))
        return (clips - self.mean.view(shape)) / self.std.view(shape)


def normalize_inputs(network: nn.Module, normalization: Normalization | None) -> nn.Module:
    """`network` with a normalization of its input, in place; unchanged if the normalization is None.

    A hook instead of a wrapper: the names of the weights do not change, and any network is accepted.
    """
    if normalization is not None:
        network.add_module("normalization", normalization())
        network.register_forward_pre_hook(_normalized)
    return network


def _normalized(network: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (network.get_submodule("normalization")(inputs[0]),)
