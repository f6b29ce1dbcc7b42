"""Starts: what the region shows before the first step, and what its bound is measured from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pipeline_lib.errors import PipelineError


class Start(Protocol):
    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """First iterate, as if the region were the whole clip."""

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        """What the bound is measured from; `region` is True where the attack changes the clips."""


@dataclass(frozen=True, kw_only=True)
class AtClean:
    """x^0 = x (MultAV)."""

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return clips

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@dataclass(frozen=True, kw_only=True)
class UniformNoise:
    """x + U(-radius, radius), one generator per clip; radius on the [0, 1] scale (PGD's random start)."""

    radius: float

    def __post_init__(self) -> None:
        if not self.radius >= 0:
            raise PipelineError(f"radius is {self.radius}: it cannot be below 0")

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        noise = torch.stack([self._noise(clip, generator) for clip, generator in zip(clips, generators, strict=True)])
        return clips + noise

    def _noise(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty(clip.shape, device=generator.device)
        return noise.uniform_(-self.radius, self.radius, generator=generator).to(clip)

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A flat color that replaces the region, 0 black to 1 white; the bound is measured from it (ROA 0.5, SPA 0)."""

    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise PipelineError(f"value is {self.value}: a color is from 0 (black) to 1 (white)")

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.full_like(clips, self.value)

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return torch.where(region, self.value, clips)
