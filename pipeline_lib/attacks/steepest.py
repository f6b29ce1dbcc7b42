"""Multi steepest descent (MSD; Maini, Wong and Kolter, 2020): gradient ascent in the union of several sets."""

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

# In a field of this name, the configuration accepts the names of attacks as well as their entries.
Attack = Ascent


@method
class Steepest:
    """At each step, every attack's own step from the current clips; each clip keeps the result of largest loss.

    It starts at the clean clips. Each attack's perturbation, region (drawn once) and center of its start are used, not
    its number of steps or first iterate. A step costs one forward and backward pass to the input, and one
    forward pass per attack.

    steps: iterations. keep: `best`, the clip of largest loss over all iterations, as in the authors' code, or `last`.
    goal: the caller makes the loss from it; the goals of the attacks are not used.
    attacks: those whose steps are compared.
    """

    passes: ClassVar[str] = "steps * (1 + len(attacks)) + sum(attack.region.passes for attack in attacks) + 1"
    forwards: ClassVar[str] = "steps * len(attacks) + sum(attack.region.forwards for attack in attacks) + 1"

    attacks: list[Attack]
    steps: Count
    keep: Literal["best", "last"] = "best"
    goal: Goal = field(default_factory=Untargeted)

    def __post_init__(self) -> None:
        if not self.attacks:
            raise PipelineError("attacks is empty: steepest needs one or more")
        for i, attack in enumerate(self.attacks):
            if not isinstance(attack, Ascent):
                raise PipelineError(f"attacks[{i}] is a {type(attack).__name__}: steepest needs those of method ascent")

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, shaped as `clips` in [0, 1], not quantized; each inside at least one attack's set.

        A clip with a gradient or loss that is not finite is returned as NaN, as from `Ascent`.
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
        """One per attack, inside its set; changes by other attacks outside its region are undone first."""
        return [
            attack.advance(
                torch.where(mask, adversarial, clips), gradient * mask, attack.start.center(clips, mask), generators
            )
            for attack, mask in zip(self.attacks, masks, strict=True)
        ]

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """The nearest 8-bit clips in the set whose bound each clip uses least. PipelineError for clips of NaN."""
        quantized = torch.stack([attack.quantize(adversarial, clean) for attack in self.attacks])
        return of_each_clip(quantized, self._ratios(adversarial, clean).argmin(0))

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """(N,): the smallest over the attacks."""
        return self._ratios(adversarial, clean).amin(0)

    def _ratios(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return torch.stack([attack.ratio_to_bound(adversarial, clean) for attack in self.attacks])


@torch.no_grad()
def of_largest_loss(loss: Loss, candidates: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Each clip's candidate of largest loss, and this loss (N,); every candidate is a whole batch."""
    reached, choice = torch.stack([loss(candidate) for candidate in candidates]).max(0)
    return of_each_clip(torch.stack(list(candidates)), choice), reached


def of_each_clip(candidates: Tensor, choice: Tensor) -> Tensor:
    """(K, N, ...) and (N,) indices -> (N, ...)."""
    return candidates[choice, torch.arange(len(choice), device=choice.device)]
