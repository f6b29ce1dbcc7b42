"""Multi steepest descent (MSD; Maini, Wong and Kolter, 2020): several perturbation sets, climbed as one."""

from collections.abc import Sequence
from dataclasses import field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.ascent import Ascent, zero_or_nan
from pipeline_lib.attacks.goals import Goal, Untargeted
from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import require_one_each

# By this name the configuration takes the names of its attacks as well as their entries.
Attack = Ascent


@method
class Steepest:
    """At each step, every attack's own step from the present clips; each clip keeps the one of largest loss.

    It starts at the clean clips. Of each attack its perturbation, its region (drawn once) and the center of its start
    are used, not its number of steps or first clips. A step costs one forward and backward pass to the input, and one
    forward pass for each attack.

    steps: iterations. keep: `best`, the clip of largest loss over all iterations, as in the authors' code, or `last`.
    goal: what whoever crafts makes the loss of; those of the attacks are not used.
    """

    passes: ClassVar[str] = "steps * (1 + len(attacks)) + sum(attack.region.passes for attack in attacks) + 1"

    attacks: list[Attack]
    steps: Count
    keep: Literal["best", "last"] = "best"
    goal: Goal = field(default_factory=Untargeted)

    def __post_init__(self) -> None:
        if not self.attacks:
            raise PipelineError("attacks is empty: steepest chooses among one or more")
        for i, attack in enumerate(self.attacks):
            if not isinstance(attack, Ascent):
                raise PipelineError(f"attacks[{i}] is a {type(attack).__name__}: steepest takes those of method ascent")

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, shaped as `clips` in [0, 1], not quantized; each inside at least one attack's set.

        A clip with a gradient or loss that is not finite comes back as NaN, as from `Ascent`.
        """
        require_one_each(generators, clips)
        masks = [attack.place(loss, clips, generators) for attack in self.attacks]
        adversarial, best = clips, clips
        highest = torch.full((len(clips),), -torch.inf, device=clips.device)
        overflow = torch.zeros((), device=clips.device)
        for _ in range(self.steps):
            _, gradient = loss_and_gradient(loss, adversarial)
            candidates = self._candidates(adversarial, gradient, clips, masks, generators)
            adversarial, reached = of_largest_loss(loss, candidates)
            overflow = overflow + zero_or_nan(gradient) + per_clip(0 * reached, clips)
            best = torch.where(per_clip(reached > highest, clips), adversarial, best)
            highest = torch.maximum(highest, reached)
        return (best if self.keep == "best" else adversarial) + overflow

    def _candidates(
        self,
        adversarial: Tensor,
        gradient: Tensor,
        clips: Tensor,
        masks: Sequence[Tensor],
        generators: Sequence[torch.Generator],
    ) -> list[Tensor]:
        """One for each attack, inside its set; what another attack did outside the region is taken back first."""
        return [
            attack.advance(
                torch.where(mask, adversarial, clips), gradient * mask, attack.start.center(clips, mask), generators
            )
            for attack, mask in zip(self.attacks, masks, strict=True)
        ]

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest 8-bit clips in the set that each clip is deepest inside. PipelineError for clips of NaN."""
        quantized = torch.stack([attack.quantize(adversarial, clean) for attack in self.attacks])
        return of_each_clip(quantized, self._ratios(adversarial, clean).argmin(0))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): the smallest over the attacks."""
        return self._ratios(adversarial, clean).amin(0)

    def _ratios(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return torch.stack([attack.ratio_to_bound(adversarial, clean) for attack in self.attacks])


@torch.no_grad()
def of_largest_loss(loss: Loss, candidates: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Of candidates shaped as one batch, each clip's one of largest loss, and that loss (N,)."""
    reached, choice = torch.stack([loss(candidate) for candidate in candidates]).max(0)
    return of_each_clip(torch.stack(list(candidates)), choice), reached


def of_each_clip(candidates: Tensor, choice: Tensor) -> Tensor:
    """(K, N, ...) and (N,) indices -> (N, ...)."""
    return candidates[choice, torch.arange(len(choice), device=choice.device)]
