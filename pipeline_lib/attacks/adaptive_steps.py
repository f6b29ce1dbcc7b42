"""The steps of APGD inside a set, with a step length adapted per clip (Croce and Hein, ICML 2020 and 2021)."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from pipeline_lib.attacks.norms import onto_l1_ball_in_box, per_clip

Project = Callable[[Tensor], Tensor]
# Clips, gradient and step length per clip (N, 1, ..., 1) -> clips after a step of steepest ascent.
Move = Callable[[Tensor, Tensor, Tensor], Tensor]
# Current iterate, iterate after the step, previous iterate, and the weight of the step -> the next iterate.
Mix = Callable[[Tensor, Tensor, Tensor, float], Tensor]


class AdaptiveSteps(Protocol):
    """The steps of one ascent of a batch. Clips are (N, C, T, H, W) or (N, C, H, W), losses (N,)."""

    def project(self, clips: Tensor) -> Tensor:
        """Clips inside the bound and [0, 1]."""

    def observe(self, losses: Tensor, best_losses: Tensor, best: Tensor) -> Tensor | None:
        """Records the losses of an iterate, from the start on. Returns bool (N,): clips to reset to their best iterate;
        None between checkpoints, for no clip.

        best_losses, best: over all iterates so far, including this one.
        """

    def advance(self, here: Tensor, before: Tensor, gradient: Tensor) -> Tensor:
        """The next iterate inside the set, from the current and the previous one."""


class Checkpoints:
    """The rule of APGD: the first step is twice the radius; at checkpoints of increasing frequency, a clip's length is
    halved if less than `threshold` of its steps since the last checkpoint increased the loss, or if neither length nor
    best loss changed; the clip then continues from its best iterate. With momentum, the new step has weight 0.75.
    """

    momentum = 0.75
    threshold = 0.75

    def __init__(self, clips: Tensor, steps: int, radius: float, move: Move, mix: Mix, project: Project) -> None:
        self.move, self.mix, self.project = move, mix, project
        self.length = torch.full((len(clips),), 2 * radius, device=clips.device, dtype=clips.dtype)
        self.until_check = self.window = max(int(0.22 * steps), 1)
        self.shorter, self.shortest = max(int(0.03 * steps), 1), max(int(0.06 * steps), 1)
        self.rises = torch.zeros(len(clips), device=clips.device)
        self.halved = torch.ones(len(clips), dtype=torch.bool, device=clips.device)
        self.losses: Tensor | None = None
        self.moved = False

    def observe(self, losses: Tensor, best_losses: Tensor, best: Tensor) -> Tensor | None:
        if self.losses is None:
            self.losses, self.best_at_check = losses, best_losses
            return None
        self.rises = self.rises + (losses > self.losses)
        self.losses = losses
        self.until_check -= 1
        return None if self.until_check else self._check(best_losses)

    def _check(self, best_losses: Tensor) -> Tensor:
        without_effect = ~self.halved & (self.best_at_check >= best_losses)
        self.halved = (self.rises <= self.threshold * self.window) | without_effect
        self.length = torch.where(self.halved, self.length / 2, self.length)
        self.best_at_check, self.rises = best_losses, torch.zeros_like(self.rises)
        self.until_check = self.window = max(self.window - self.shorter, self.shortest)
        return self.halved

    def advance(self, here: Tensor, before: Tensor, gradient: Tensor) -> Tensor:
        ahead = self.project(self.move(here, gradient, per_clip(self.length, here)))
        if self.moved:
            ahead = self.project(self.mix(here, ahead, before, self.momentum))
        self.moved = True
        return ahead


class SparseSteps:
    """The rule of APGD in an l1 ball within the box (Croce and Hein, ICML 2021): a step changes the elements
    of largest gradient by its sign: at first a fifth of all elements, then two thirds as many as the best iterate has
    changed. At each check, a clip whose best iterate has become sparser continues from it with steps of the radius; for
    the other clips, the length is reduced.
    """

    first_fraction = 0.2
    sparser = 0.95
    shrinkage = 1.5
    smallest = 0.1

    def __init__(self, center: Tensor, steps: int, radius: float) -> None:
        self.center, self.radius = center, radius
        self.length = torch.full((len(center),), radius, device=center.device, dtype=center.dtype)
        self.until_check = self.window = max(int(0.04 * steps), 1)
        self.counts: Tensor | None = None
        self.changed = torch.full((len(center),), center[0].numel(), device=center.device)
        self.seen_start = False

    def project(self, clips: Tensor) -> Tensor:
        return self.center + onto_l1_ball_in_box(clips - self.center, self.center, self.radius)

    def observe(self, losses: Tensor, best_losses: Tensor, best: Tensor) -> Tensor | None:
        if not self.seen_start:
            self.seen_start = True
            return None
        self.until_check -= 1
        return None if self.until_check else self._check(best)

    def _check(self, best: Tensor) -> Tensor:
        changed = (best != self.center).flatten(1).sum(1)
        sparser = changed < self.sparser * self.changed
        self.counts = (changed / self.shrinkage).long().clamp_min(1)
        shorter = (self.length / self.shrinkage).clamp_min(self.smallest * self.radius)
        self.length = torch.where(sparser, self.radius, shorter)
        self.changed, self.until_check = changed, self.window
        return sparser

    def advance(self, here: Tensor, before: Tensor, gradient: Tensor) -> Tensor:
        sizes = gradient.abs().flatten(1)
        if self.counts is None:
            self.counts = (self.first_fraction * (sizes > 0).sum(1)).long().clamp_min(1)
        least = sizes.sort(dim=1, descending=True).values.gather(1, self.counts[:, None] - 1)
        chosen = gradient.sign() * (gradient.abs() >= per_clip(least, here))
        length = self.length / chosen.abs().flatten(1).sum(1).clamp_min(1)
        return self.project(here + per_clip(length, here) * chosen)


def sign_move(clips: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
    """Steepest ascent in l-inf."""
    return gradient.sign().mul_(length).add_(clips)


def additive_mix(here: Tensor, ahead: Tensor, before: Tensor, weight: float) -> Tensor:
    """Weighted sum of the new step and the previous one, `here + weight * step + (1 - weight) * former`."""
    step, former = (ahead - here).mul_(weight), (here - before).mul_(1 - weight)
    return step.add_(here).add_(former)


def ratio_mix(here: Tensor, ahead: Tensor, before: Tensor, weight: float) -> Tensor:
    """`additive_mix` of logarithms; where one of the three has none, only the step."""
    mixed = here * (ahead / here) ** weight * (here / before) ** (1 - weight)
    return torch.where((here > 0) & (ahead > 0) & (before > 0), mixed, ahead)
