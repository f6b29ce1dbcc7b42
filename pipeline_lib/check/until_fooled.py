"""PGD that ends for each clip as soon as it fools the network: a check needs no margin of what is fooled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.ascent import Ascent, zero_or_nan
from pipeline_lib.attacks.goal_loss import GoalLoss
from pipeline_lib.attacks.losses import in_bfloat16, loss_and_gradient
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.errors import PipelineError


@dataclass(frozen=True)
class UntilFooled:
    """The steps of an `Ascent`, of which a clip makes no more once the network is wrong on its iterate in float32. The
    remaining clips go on, also with the next restart.

    Only for networks without random numbers, whose one pass decides. `keep` of the ascent is ignored.
    """

    wraps: ClassVar[str] = "attack"
    bounded_by: ClassVar[str] = "attack"
    keeps_weights: ClassVar[bool] = True
    attack: Ascent

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """As `Ascent`: each clip's iterate that fools, or the last one. loss: a `GoalLoss`."""
        if not isinstance(loss, GoalLoss):
            raise PipelineError("an attack that ends early needs to record which clips fool the network")
        found, rows = clips.clone(), torch.arange(len(clips), device=clips.device)
        for restart in range(self.attack.restarts):
            one = Climb(self.attack, loss, clips, rows, [generators[row] for row in rows.tolist()])
            for _ in range(self.attack.steps):
                one.step(found)
                if not len(one.rows):
                    break
            found[one.rows] = torch.where(one.mask, one.point, one.clean)
            rows = one.rows[~one.judged()] if restart + 1 < self.attack.restarts else one.rows[:0]
            if not len(rows):
                break
        return found

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the ascent."""
        return self.attack.quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the ascent."""
        return self.attack.ratio_to_bound(adversarial, clean)


class Climb:
    """One ascent of the clips `rows` that do not fool the network yet: iterates `point`, clean clips and masks."""

    def __init__(
        self, attack: Ascent, loss: GoalLoss, clips: Tensor, rows: Tensor, generators: Sequence[torch.Generator]
    ) -> None:
        self.attack, self.whole, self.rows, self.generators = attack, loss, rows, list(generators)
        self.clean, self.loss = clips[rows], loss.of(loss.goal, rows)
        placed = attack.place(self.loss, self.clean, self.generators)
        self.mask = placed.expand(len(rows), 1, *clips.shape[2:])
        self.center = attack.start.center(self.clean, self.mask)
        first = attack.start.first(self.clean, self.generators).clamp(0, 1)
        self.point = torch.where(self.mask, first, self.clean)

    def step(self, found: Tensor) -> None:
        """One step. The clips that fool the network before it are written into `found`, and leave."""
        bf16 = self.attack.precision == "bf16"
        _, gradient = loss_and_gradient(in_bfloat16(self.loss) if bf16 else self.loss, self.point)
        found[self.rows] = torch.where(self.mask, self.point + zero_or_nan(gradient), self.clean)
        self._keep(~self._fooled(bf16) & gradient.isfinite().flatten(1).all(1), gradient)

    def _fooled(self, bf16: bool) -> Tensor:
        """bool (n,): whether the network is wrong at the last iterates. Passes in bfloat16 are confirmed."""
        fooled = self.loss.fooled()
        if fooled is None:
            raise PipelineError("an attack that ends early needs a goal of any error")
        if bf16 and fooled.any():
            fooled = fooled.clone()
            fooled[fooled.clone()] = self.whole.of(self.whole.goal, self.rows[fooled]).judged(self.point[fooled])[0]
        return fooled

    def _keep(self, stays: Tensor, gradient: Tensor) -> None:
        """Drops the other clips, and moves these along their gradients."""
        if not stays.all():
            self.rows, self.clean, self.point = self.rows[stays], self.clean[stays], self.point[stays]
            self.mask, self.center, gradient = self.mask[stays], self.center[stays], gradient[stays]
            self.generators = [one for one, stay in zip(self.generators, stays.tolist(), strict=True) if stay]
            self.loss = self.whole.of(self.whole.goal, self.rows)
        if len(self.rows):
            self.point = self.attack.advance(self.point, gradient * self.mask, self.center, self.generators)

    def judged(self) -> Tensor:
        """bool (n,): whether the network is wrong at the iterates, in float32."""
        return self.loss.judged(self.point)[0]
