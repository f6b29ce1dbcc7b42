"""The worst case of several attacks inside one bound for each clip, at less than the cost of all attacks."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.goal_loss import GoalLoss
from pipeline_lib.attacks.goals import Goal, goal_of
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.protocols import BoundedAttack as Attack
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.starts import Constant
from pipeline_lib.entries.bounds import OF_STEPS
from pipeline_lib.entries.facts import wrapped
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.randomness.generators import require_one_each


@method
class Strongest:
    """The attacks in order, each only on the clips that no earlier one fools: a network is correct on the result if
    and only if it is correct under every attack. The first one attacks all clips.

    An attack fools a network if the prediction is wrong on its clips both in float32 and on the 8-bit lattice. Where no
    attack does, the result is that of largest margin. Each attack draws the same random numbers as it would alone, so
    the first one may be the attack of a table's column: the worst case is then never above that column.

    attacks: of one bound, region and start's center, with goals of any error; the cheapest or strongest one first.
    """

    keeps_weights: ClassVar[bool] = True
    strongest_of: ClassVar[str] = "attacks"
    attacks: list[Attack]

    def __post_init__(self) -> None:
        if not self.attacks:
            raise PipelineError("attacks is empty: strongest needs one or more")
        for i, attack in enumerate(self.attacks):
            require_any_error(f"attacks[{i}]", attack)
            if bound_of(attack) != bound_of(self.attacks[0]):
                first, other = bound_of(self.attacks[0]), bound_of(attack)
                raise PipelineError(f"attacks[{i}] has another bound than attacks[0]: {other}, and not {first}")

    @property
    def goal(self) -> Goal:
        """The goal of the first attack."""
        return goal_of(self.attacks[0])

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Adversarial clips, shaped as `clips` in [0, 1], not quantized. A clip whose loss or gradient is not finite in
        an attack is returned as NaN.

        loss: a `GoalLoss`, which the caller makes for a network.
        """
        return in_sequence(self.attacks, loss, clips, generators)

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the first attack: they have one bound."""
        return self.attacks[0].quantize(adversarial, clean)

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        """As of the first attack: they have one bound."""
        return self.attacks[0].ratio_to_bound(adversarial, clean)


def in_sequence(attacks: Iterable[Attack], loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """The result of `Strongest`. Each attack is taken from `attacks` after the one before it has run."""
    require_one_each(generators, clips)
    if not isinstance(loss, GoalLoss):
        raise PipelineError(
            "strongest needs to record which clips fool the network: it cannot use a loss that wraps another"
        )
    states = [generator.get_state() for generator in generators]
    worst, remaining, counts = Worst(clips), torch.arange(len(clips), device=clips.device), []
    part, taken = loss, iter(attacks)
    for i, attack in enumerate(taken):
        own = [_at(generators[row], states[row]) for row in remaining.tolist()]
        part = loss if i == 0 else loss.of(goal_of(attack), remaining)
        crafted = attack(part, clips[remaining], own)
        remaining = worst.offer(remaining, crafted, *_judged(attack, part, crafted, clips[remaining]))
        counts.append((len(own), part.passes))
        if not len(remaining):
            break
    log_cost(counts, list(taken))
    return worst.clips


def _judged(attack: Attack, part: GoalLoss, crafted: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """bool (M,) whether both forms of the clips fool the network, and the smaller of their margins; NaN for clips of
    NaN."""
    broken = crafted.isnan().flatten(1).any(1)
    live = torch.where(per_clip(broken, clean), clean, crafted)
    errs, margins = part.judged(live)
    stored_errs, stored_margins = part.judged(attack.quantize(live, clean))
    smaller = torch.minimum(margins, stored_margins).masked_fill(broken, torch.nan)
    return errs & stored_errs, smaller


class Worst:
    """Each clip's first result that fools the network, or, while none does, the one of largest margin."""

    def __init__(self, clips: Tensor) -> None:
        self.clips = clips.clone()
        self.margins = torch.full((len(clips),), -torch.inf, device=clips.device)

    def offer(self, rows: Tensor, crafted: Tensor, errs: Tensor, margins: Tensor) -> Tensor:
        """The rows that still need attacks. A clip of NaN needs none, and is kept as the result."""
        broken = margins.isnan()
        better = errs | broken | (margins > self.margins[rows])
        chosen = rows[better]
        self.clips[chosen], self.margins[chosen] = crafted[better], margins[better].float()
        return rows[~(errs | broken)]


def _at(generator: torch.Generator, state: Tensor) -> torch.Generator:
    """The generator, reset to a state."""
    generator.set_state(state)
    return generator


def bound_of(attack: Any) -> Any:
    """The bound, region and center of an attack, equal for attacks with the same set. For attacks of other kinds than
    this package's, the attack itself."""
    while not hasattr(attack, "perturbation"):
        name = getattr(type(attack), "bounded_by", None)
        inner = wrapped(attack) if name is None else getattr(attack, name)
        if inner is None:
            return attack
        attack = inner
    perturbation = {f.name: getattr(attack.perturbation, f.name) for f in fields(attack.perturbation)}
    allowed = {name: value for name, value in perturbation.items() if name not in OF_STEPS}
    center = attack.start if isinstance(attack.start, Constant) else "clean clips"
    return {"bound": type(attack.perturbation).__name__, **allowed, "region": attack.region, "center": center}


def require_any_error(where: str, attack: Attack) -> None:
    """Raises PipelineError for an attack whose goal is one class, so that other errors would not count."""
    if not getattr(goal_of(attack), "any_error", False):
        raise PipelineError(f"{where} has the goal {goal_of(attack)}: a worst case needs goals of any error")


def log_cost(counts: Sequence[tuple[int, int]], unused: Sequence[Attack]) -> None:
    """A line in the log: number of clips per attack, and passes as a fraction of those of all attacks.

    unused: the attacks that no clip was left for.
    """
    clips = counts[0][0]
    own = [passes / count for count, passes in counts]
    own += [float(getattr(a, "steps", 0) * getattr(a, "restarts", 1)) for a in unused]
    spent, all_of_them = sum(passes for _, passes in counts), clips * sum(own)
    left = ", ".join(str(count) for count, _ in counts) + ", 0" * len(unused)
    percent = 100 * spent / all_of_them if all_of_them else 100
    words = "strongest: %s of %d clips per attack in sequence, %d passes, %.0f %% of those of all attacks on all clips"
    LOGGER.info(words, left, clips, spent, percent)
