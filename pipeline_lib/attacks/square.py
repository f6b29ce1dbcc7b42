"""Square (Andriushchenko et al., ECCV 2020): random search without gradients, inside the set of another attack."""

from collections.abc import Sequence
from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.goal_loss import GoalLoss
from pipeline_lib.attacks.goals import Goal
from pipeline_lib.attacks.lp_perturbations import AdditiveL2
from pipeline_lib.attacks.margins import Margin
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf, in_box
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.regions import AllPixels
from pipeline_lib.attacks.square_search import FIRST_IN_ROW, BetweenEnds, InL2Ball, Search
from pipeline_lib.attacks.squares import PER_PLACE, Anywhere, InRegion, fraction_at
from pipeline_lib.entries.ranges import Count, PositiveFraction, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import require_one_each

# In a field of this name, the configuration accepts the names of attacks as well as their entries.
Attack = Ascent


@method
class Square:
    """Random search: each query changes a square of the best clip so far, and is kept if the loss increases.

    It computes no gradient, so it also attacks networks whose gradients vanish or are masked. A clip is finished once
    it fools the network, as it is and on the 8-bit lattice.

    In a region, the squares are groups of its pixels, so that a rectangle, a border or single pixels at given places
    are searched as in Sparse-RS (Croce et al., AAAI 2022). In an l-inf bound of 1, all elements are then 0 or 1.

    inside: the attack whose bound, region and center are used: `additive_linf` or `ratio_linf`, or `additive_l2` with
        all pixels. Its steps, goal and first iterate are not used.
    queries: largest number of forward passes. Each clip that fools the network costs one more. The set's trace has the
        accuracy after each query.
    fraction: of the region, what the first squares cover (p of AutoAttack). It is halved nine times.
    goal: the caller makes the loss from it; by default the margin.
    """

    # A forward pass is half of a forward-backward pass to the input.
    passes: ClassVar[str] = "inside.region.passes + queries / 2 + 1"
    bounded_by: ClassVar[str] = "inside"
    supports: ClassVar[tuple[str, ...]] = (
        "inside.perturbation = additive_linf",
        "inside.perturbation = ratio_linf",
        "inside.perturbation = additive_l2, inside.region = all_pixels",
    )

    inside: Attack
    queries: Count = 5000
    fraction: PositiveFraction = 0.8
    goal: Goal = field(default_factory=Margin)

    def __post_init__(self) -> None:
        if not isinstance(self.inside, Ascent):
            raise PipelineError(f"inside is a {type(self.inside).__name__}: square needs an attack of method ascent")
        if not isinstance(self.inside.perturbation, AdditiveLinf | RatioLinf | AdditiveL2):
            name = type(self.inside.perturbation).__name__
            raise PipelineError(f"inside.perturbation is {name}: square needs additive_linf, ratio_linf or additive_l2")
        if isinstance(self.inside.perturbation, AdditiveL2) and not isinstance(self.inside.region, AllPixels):
            name = type(self.inside.region).__name__
            raise PipelineError(f"inside.region is {name}: in an l2 bound, square needs all pixels")

    @torch.no_grad()
    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, (N, C, T, H, W) or (N, C, H, W) in [0, 1], not quantized; pixels outside the region are
        unchanged. A clip with a loss that is not finite is returned as NaN, as from `Ascent`.

        loss: clips -> (N,). Only a `GoalLoss` states which clips fool the network; with others, all queries are made.
        generators: one per clip.
        """
        require_one_each(generators, clips)
        search, best = self._search(loss, clips, generators), clips.clone()
        highest = torch.full((len(clips),), -torch.inf, device=clips.device)
        rows, part = torch.arange(len(clips), device=clips.device), loss
        for query in range(self.queries):
            candidates = self._candidates(search, best[rows], query)
            losses = part(candidates)
            finished = self._fooled(part, candidates, clips[rows]) | losses.isnan()
            better = finished | (losses > highest[rows])
            best[rows[better]] = (candidates + per_clip(0 * losses, candidates))[better]
            highest[rows[better]] = losses[better].to(highest)
            report(loss, part, rows, better)
            if isinstance(loss, GoalLoss) and finished.any():
                rows, search = rows[~finished], search.of(~finished)
                if not len(rows):
                    break
                part = loss.of(loss.goal, rows)
        return best

    def _candidates(self, search: Search, best: Tensor, query: int) -> Tensor:
        if query == 0:
            return search.first().view_as(best)
        fraction = fraction_at((query - 1) / self.queries, self.fraction)
        return search.following(as_videos(best), query, fraction).view_as(best)

    def _fooled(self, part: Loss, candidates: Tensor, clean: Tensor) -> Tensor:
        """bool (N,): whether both forms of the clips fool the network."""
        if not isinstance(part, GoalLoss) or (fooled := part.fooled()) is None or not fooled.any():
            return torch.zeros(len(candidates), dtype=torch.bool, device=candidates.device)
        # Only these clips, so that no other clip of the batch draws random numbers for it.
        rows = fooled.nonzero().flatten()
        stored = self.quantize(candidates[rows], clean[rows])
        errs, margins = part.of(part.goal, rows).judged(stored)
        return fooled.index_put((rows,), errs & ~margins.isnan())

    def _search(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Search:
        """The region is placed first, with the random numbers that the attack inside would draw for it."""
        mask = self.inside.place(loss, clips, generators)
        perturbation, center = self.inside.perturbation, self.inside.start.center(clips, mask)
        videos, channels = as_videos(clips), clips.shape[1]
        if isinstance(perturbation, AdditiveL2):
            return InL2Ball(
                clips=videos,
                radius=perturbation.epsilon,
                project=lambda candidates, clean: in_box(perturbation, clean, candidates),
                tiles=uniform(generators, (FIRST_IN_ROW**2, channels + 1), clips),
                draws=uniform(generators, (self.queries, 2 * PER_PLACE + channels + 1), clips),
            )
        region = as_videos(mask.expand(len(clips), 1, *clips.shape[2:]))
        low, high = (
            as_videos(in_box(perturbation, center, end(center))) for end in (torch.zeros_like, torch.ones_like)
        )
        everywhere = isinstance(self.inside.region, AllPixels)
        return BetweenEnds(
            clips=videos,
            low=low,
            high=high,
            region=region,
            squares=Anywhere(shape=region.shape[2:]) if everywhere else InRegion.of_mask(region),
            stripes=uniform(generators, (channels, clips.shape[-1]), clips),
            draws=uniform(generators, (self.queries, PER_PLACE + channels), clips),
        )

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the attack whose set it is."""
        return self.inside.quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the attack whose set it is."""
        return self.inside.ratio_to_bound(adversarial, clean)


def report(loss: Loss, part: Loss, rows: Tensor, better: Tensor) -> None:
    """Passes on which of the clips `rows` have a new best candidate after a query, and the logits of these."""
    if isinstance(loss, GoalLoss) and isinstance(part, GoalLoss) and part.last.logits is not None:
        loss.kept(rows[better], part.last.logits[better])


def as_videos(clips: Tensor) -> Tensor:
    """(N, C, T, H, W); images (N, C, H, W) have one frame."""
    return clips if clips.dim() == 5 else clips.unsqueeze(2)


def uniform(generators: Sequence[torch.Generator], shape: Sequence[int], clips: Tensor) -> Tensor:
    """(N, *shape) in [0, 1), from one generator per clip, drawn on the CPU."""
    return torch.stack([torch.rand(tuple(shape), generator=generator) for generator in generators]).to(clips)
