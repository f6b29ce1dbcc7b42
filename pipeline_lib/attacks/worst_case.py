"""The worst case of an attack's bound, by a fixed list of stronger attacks in it."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.apgd import Apgd
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.goal_loss import GoalLoss
from pipeline_lib.attacks.margins import DLR, Margin, TargetedDLR
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.strongest import in_sequence, require_any_error
from pipeline_lib.entries.ranges import Count, method

# In a field of this name, the configuration accepts the names of attacks as well as their entries.
Attack = Ascent


@method
class WorstCase:
    """`Strongest` of an attack and APGD in its bound, region and start, chosen by the network's number of classes.

    First the attack itself, so that the worst case is never above it; then APGD on the log-odds, and on the targeted
    DLR loss towards each of the likeliest wrong classes. Three classes are too few for the targeted loss and get the
    untargeted one; two get the margin.

    of: the attack, of method `ascent`, with a goal of any error.
    steps: of APGD on the log-odds.
    targeted_steps: of APGD on each of the other losses.
    targets: number of wrong classes, at most all of them.
    """

    keeps_weights: ClassVar[bool] = True
    wraps: ClassVar[str] = "of"
    strongest_of: ClassVar[str] = "of"
    supports: ClassVar[tuple[str, ...]] = ("of.perturbation = pipeline_lib.attacks.apgd:Adaptive",)
    passes: ClassVar[str] = "of.passes + steps + 2 + targets * (targeted_steps + 2) + (targets + 1) * of.region.passes"
    forwards: ClassVar[str] = "of.forwards + (targets + 1) * (of.region.forwards + 1)"

    of: Attack
    # Of APGD-CE and APGD-T in AutoAttack's standard version.
    steps: Count = 100
    targeted_steps: Count = 100
    targets: Count = 9

    def __post_init__(self) -> None:
        require_any_error("of", self.of)
        Apgd(inside=self.of)  # raises the error for a bound without adaptive steps

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, as of `Strongest`."""
        return in_sequence(self._in_order(loss), loss, clips, generators)

    def _in_order(self, loss: Loss) -> Iterator[Ascent | Apgd]:
        """The attack; after it has run, those for the number of classes of its logits."""
        yield self.of
        assert isinstance(loss, GoalLoss)
        assert loss.last.logits is not None
        yield from self.stronger(loss.last.logits.shape[1])

    def stronger(self, classes: int) -> list[Apgd]:
        """The attacks after the first one, for a network with this number of classes."""
        precision = self.of.precision
        first = Apgd(inside=self.of, steps=self.steps, precision=precision)
        if classes < 4:
            goal = DLR() if classes == 3 else Margin()
            return [first, Apgd(inside=self.of, steps=self.targeted_steps, goal=goal, precision=precision)]
        ranks = range(1, min(self.targets, classes - 1) + 1)
        goals = [TargetedDLR(rank=rank) for rank in ranks]
        return [
            first,
            *(Apgd(inside=self.of, steps=self.targeted_steps, goal=goal, precision=precision) for goal in goals),
        ]

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the attack whose bound it is."""
        return self.of.quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the attack whose bound it is."""
        return self.of.ratio_to_bound(adversarial, clean)
