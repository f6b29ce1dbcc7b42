"""The measurements of a check: the attacks in the order of their weight, each with its cost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.crafting import craft
from pipeline_lib.attacks.expectation import Expectation
from pipeline_lib.attacks.margins import Margin, TargetedDLR
from pipeline_lib.attacks.search import SearchedRectangle
from pipeline_lib.attacks.square import Square
from pipeline_lib.attacks.starts import AtClean
from pipeline_lib.attacks.strongest import Strongest
from pipeline_lib.check.measurement import Measurement
from pipeline_lib.check.random_clips import random_clips
from pipeline_lib.check.stand_in import trained_stand_in
from pipeline_lib.check.target import Target
from pipeline_lib.check.threats import Threat
from pipeline_lib.check.until_fooled import UntilFooled
from pipeline_lib.records.checks import CASCADE, GRADIENT_FREE, GROWING, NAIVE, NOISE, TRANSFER, WHITE_BOX

STEPS = (10, 40, 100)
RESTARTS = 5
EOT_SAMPLES = 10
NOISE_DRAWS = 3
APGD_STEPS, TARGETED_STEPS, MOST_TARGETS = 20, 40, 3
BOUND_STEPS = 10
SOON = 3  # steps after which most clips of a network without a defense are fooled
QUERIES = 300
# Growing bounds: multiples of the threat's, on some clips only: they decide whether the accuracy falls, and to 0.
GROWTH = (2.0, 8.0)
CLIPS_OF_BOUNDS = 24
TRIED_RECTANGLES = 10


@dataclass(frozen=True, kw_only=True)
class Attacks:
    """Makes the measurements of a target under a threat. classes: of the network. blocks: whether BPDA is in use.
    steps: of PGD."""

    target: Target
    threat: Threat
    classes: int
    blocks: bool
    stand_in: nn.Module | None = None
    steps: Sequence[int] = STEPS

    def all_of_them(self) -> list[Measurement]:
        """In the order in which they run: the first ones decide most."""
        first, *more = [self.pgd(steps) for steps in self.steps]
        bounds = self.bounds()
        found = [first, self.noise(), *self.naive(), bounds[-1], self.cascade(), *bounds[:-1], self.transfer()]
        return [*found, *self.square(), *self.searched(), self.restarts(), *more]

    def noise(self) -> Measurement:
        def made(rows: Sequence[int]) -> Iterator[Tensor]:
            for draw in range(NOISE_DRAWS):
                yield random_clips(self.threat, self.target, rows, draw)

        title = f"random noise on the bound, {NOISE_DRAWS} draws"
        return Measurement(name="noise", title=title, kind=NOISE, made=made, forwards=NOISE_DRAWS, share=0.1)

    def pgd(self, steps: int) -> Measurement:
        with_eot = f", EOT of {EOT_SAMPLES} passes" if self.target.random else ""
        return Measurement(
            name=f"pgd_{steps}",
            title=f"PGD, {steps} steps{with_eot}",
            kind=WHITE_BOX,
            order=steps,
            made=self._crafting(self.threat.attack(steps)),
            gradients=steps * self._samples,
            early=self._early(steps),
            share=0.6 if steps == self.steps[0] else 0.7,
        )

    def naive(self) -> list[Measurement]:
        """PGD without anything against zero gradients or random outputs."""
        steps, found = self.steps[0], []
        plain = Measurement(
            name="plain",
            title=f"PGD, {steps} steps, without BPDA",
            kind=NAIVE,
            made=lambda rows: iter([self.target.crafted(self._until(self.threat.attack(steps)), rows)]),
            gradients=steps,
            share=0.3,
            naive=True,
        )
        if self.blocks:
            found.append(plain)
        if self.target.random:
            found.append(replace(plain, name="no_eot", title=f"PGD, {steps} steps, without EOT", naive=False))
        return found

    def cascade(self) -> Measurement:
        """APGD on the log-odds, then towards several wrong classes, each on the clips that are left."""
        attacks: list[Any] = [self.threat.apgd(APGD_STEPS)]
        if self.classes >= 4:
            ranks = range(1, min(MOST_TARGETS, self.classes - 1) + 1)
            attacks += [self.threat.apgd(TARGETED_STEPS, TargetedDLR(rank=rank)) for rank in ranks]
        else:
            attacks.append(self.threat.apgd(TARGETED_STEPS, Margin()))
        return Measurement(
            name="cascade",
            title=f"APGD: log-odds, then {'targeted DLR' if self.classes >= 4 else 'margin'}, on the clips left",
            kind=CASCADE,
            made=self._crafting(Strongest(attacks=[self._eot(attack) for attack in attacks])),
            forwards=1 + 3 * len(attacks),
            gradients=self._samples * sum(attack.steps for attack in attacks),
            early=attacks[0].steps / sum(attack.steps for attack in attacks),
            share=0.5,
            survivors=True,
        )

    def restarts(self) -> Measurement:
        return Measurement(
            name="restarts",
            title=f"PGD, {self.steps[0]} steps, {RESTARTS} restarts, on the clips left",
            kind=WHITE_BOX,
            made=self._crafting(replace(self.threat.attack(self.steps[0]), restarts=RESTARTS)),
            forwards=1 + RESTARTS,
            gradients=RESTARTS * self.steps[0] * self._samples,
            early=self._early(RESTARTS * self.steps[0]),
            survivors=True,
        )

    def bounds(self) -> list[Measurement]:
        """Growing bounds, the last one without any limit but [0, 1]."""
        shape = tuple(self.target.clips.shape[1:])
        grown = [self.threat.grown(factor, shape) for factor in GROWTH]
        threats = [*(threat for threat in grown if threat is not None), self.threat.whole(shape)]
        return [self._bound(number, threat) for number, threat in enumerate(threats, 1)]

    def _bound(self, number: int, threat: Threat) -> Measurement:
        # The second one only on the clips that the first one leaves: on few, unless gradients are masked.
        attacks = [self._until(threat.attack(BOUND_STEPS, start=AtClean())), threat.apgd(APGD_STEPS)]
        return Measurement(
            name=f"bound_{number}",
            title=f"larger bound, {threat.text}: PGD, then APGD",
            kind=GROWING,
            order=number,
            made=self._crafting(Strongest(attacks=[self._eot(attack) for attack in attacks])),
            forwards=7,
            gradients=BOUND_STEPS * self._samples,
            early=self._early(BOUND_STEPS),
            share=0.6,
            most=CLIPS_OF_BOUNDS,
        )

    def transfer(self) -> Measurement:
        def made(rows: Sequence[int]) -> Iterator[Tensor]:
            target = self.target
            source = self.stand_in or trained_stand_in(
                target.clips, target.labels, self.classes, target.seed, target.network.count
            )
            clips, labels, some = target.clips[list(rows)], target.labels[list(rows)], [target.names[r] for r in rows]
            attack = self.threat.apgd(APGD_STEPS)
            yield craft(source, clips, labels, attack, batch_size=target.batch_size, seed=target.seed, names=some)

        words = "a given stand-in" if self.stand_in else "a stand-in trained on these clips"
        return Measurement(
            name="transfer", title=f"transfer from {words}", kind=TRANSFER, made=made, forwards=2, at_once=True
        )

    def square(self) -> list[Measurement]:
        """Random search without gradients, for the bounds that it supports."""
        if self.threat.kind == "l1":
            return []
        # Of a random network, one pass decides whether a clip is finished: the votes over several decide at the end.
        attack = Square(inside=self.threat.attack(1), queries=QUERIES)
        return [
            Measurement(
                name="square",
                title=f"Square, {QUERIES} queries without a gradient",
                kind=GRADIENT_FREE,
                made=lambda rows: iter([self.target.crafted(attack, rows)]),
                forwards=QUERIES + 1,
            )
        ]

    def searched(self) -> list[Measurement]:
        """Rectangles at the place of largest gradient."""
        if self.threat.kind != "rectangle":
            return []
        height, width = (int(side) for side in self.threat.size)
        region = SearchedRectangle(
            height=height, width=width, search="gradient", last_position=True, candidates=TRIED_RECTANGLES
        )
        attack = replace(self.threat.attack(self.steps[0]), region=region)
        return [
            Measurement(
                name="searched",
                title=f"PGD, {self.steps[0]} steps, the rectangle searched by the gradient",
                kind=WHITE_BOX,
                made=self._crafting(attack),
                forwards=1 + TRIED_RECTANGLES,
                gradients=self.steps[0] + 1,
            )
        ]

    @property
    def _samples(self) -> int:
        return EOT_SAMPLES if self.target.random else 1

    def _early(self, steps: int) -> float:
        """The fraction of the steps of `UntilFooled` for a clip that is soon fooled."""
        return 1.0 if self.target.random else min(1.0, SOON / steps)

    def _eot(self, attack: Any) -> Any:
        return Expectation(attack=attack, samples=EOT_SAMPLES) if self.target.random else attack

    def _crafting(self, attack: Any) -> Callable[[Sequence[int]], Iterator[Tensor]]:
        whole = self._eot(self._until(attack)) if isinstance(attack, Ascent) else attack
        return lambda rows: iter([self.target.crafted(whole, rows)])

    def _until(self, attack: Ascent) -> Any:
        """The attack, which ends for a clip that fools the network, unless its outputs are random."""
        return attack if self.target.random else UntilFooled(attack)
