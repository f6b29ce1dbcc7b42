"""Starts: the content of the region before the first step, and the center of the bound."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline_lib.attacks.norms import of_clip, onto_l2_ball
from pipeline_lib.entries.ranges import AtLeastOne, Fraction, NonNegative, Positive, method
from pipeline_lib.randomness.noise import noise_like


class Start(Protocol):
    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """The first iterate, for a region of the whole clip."""

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        """The center of the bound; `region` is True where the attack changes the clips."""


@method
class AtClean:
    """x^0 = x (MultAV)."""

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return clips

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@method
class UniformNoise:
    """x + U(-radius, radius), one generator per clip; radius on the [0, 1] scale (PGD's random start).

    radius: largest change of a pixel.
    """

    radius: NonNegative

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        reach = self.radius
        return clips + noise_like(clips, generators, lambda noise, g: noise.uniform_(-reach, reach, generator=g))

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@method
class LogUniform:
    """x times a ratio from 1/ratio to ratio, uniform on a logarithmic scale: MultAV's random start, at its epsilon.

    ratio: the largest.
    """

    ratio: AtLeastOne

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        reach = math.log(self.ratio)
        return clips * noise_like(clips, generators, lambda noise, g: noise.uniform_(-reach, reach, generator=g)).exp()

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@method
class UniformBox:
    """Towards u ~ U[0, 1]: u - x, scaled to an l2 length of `radius` over the clip where it is longer (PGD-L2).

    On large clips u - x is far longer than the papers' radius, so that the start lies on the bound (advertorch).

    radius: l2 length of the change of a clip.
    """

    radius: Positive

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        anywhere = noise_like(clips, generators, lambda noise, g: noise.uniform_(generator=g))
        return clips + onto_l2_ball(anywhere - clips, self.radius, of_clip(clips))

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@method
class GaussianNoise:
    """x + N(0, deviation^2), one generator per clip; deviation on the [0, 1] scale (TRADES: 0.001).

    deviation: standard deviation of each pixel.
    """

    deviation: NonNegative

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return clips + noise_like(clips, generators, lambda noise, g: noise.normal_(0, self.deviation, generator=g))

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


@method
class Constant:
    """A flat color that replaces the region, 0 black to 1 white; the bound is centered on it (ROA 0.5, SPA 0).

    value: brightness, 0 black to 1 white.
    """

    value: Fraction

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return torch.full_like(clips, self.value)

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return torch.where(region, self.value, clips)
