"""Runs measurements within a budget: on as many clips as fit, finished ones taken from the folder of the check."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from pipeline_lib.check.budget import FEWEST, Budget
from pipeline_lib.check.finished import Finished
from pipeline_lib.check.measurement import Measurement
from pipeline_lib.check.straight_through import straight_through
from pipeline_lib.check.target import Target
from pipeline_lib.records.checks import CASCADE, WHITE_BOX, LeftOut, Part, select

Reporting = Callable[[str], None]
Bars = Callable[[str, int], "Bar"]


class Bar:
    """Shows nothing; the command has one that does."""

    def count(self, passes: int) -> None:
        """Counts passes."""

    def close(self) -> None:
        """Ends it."""


def no_bar(title: str, total: int) -> Bar:
    return Bar()


@dataclass(kw_only=True)
class Measuring:
    """The measurements of one check so far. order: the rows in the order in which measurements take them. blocks: parts
    of the network that are passed straight through. say: is called with a line for each measurement.
    """

    target: Target
    budget: Budget
    finished: Finished
    order: Sequence[int]
    blocks: Sequence[str] = ()
    say: Reporting = lambda line: None
    bars: Bars = no_bar
    parts: list[Part] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def clean(self, share: float) -> Part:
        """The accuracy on clean clips."""
        known = self.finished.load("clean")
        if known is not None:
            return self._kept(known)
        count = self.budget.fits(len(self.order), self.budget.forward, share, self.budget.remaining()) or min(
            len(self.order), FEWEST
        )
        rows, began = list(self.order[:count]), time.monotonic()
        bar = self._counting("clean", count)
        try:
            predictions = self.target.predictions(self.target.clips[rows], rows)
        finally:
            bar.close()
        correct = tuple((predictions == self.target.labels[rows]).tolist())
        facts = {"predictions": predictions.tolist()}
        if count < len(self.order):
            self.left_out.append(LeftOut(title="clean", reason=f"{count} of {len(self.order)} clips, for the budget"))
        part = Part(name="clean", title="clean", kind="clean", rows=tuple(rows), correct=correct, facts=facts)
        return self._made(part, time.monotonic() - began)

    def measure(self, what: Measurement) -> None:
        """Makes a measurement on the clips that fit, or notes that it was left out."""
        known = self.finished.load(what.name)
        if known is not None:
            self._kept(known)
            return
        rows, attacked = self.rows_for(what)
        if not rows:
            cost = self.budget.cost(what.forwards, what.gradients)
            left = max(0.0, self.budget.remaining()) / 60
            reason = f"{FEWEST} clips take about {FEWEST * cost / 60:.1f} min, and {left:.1f} are left"
            self.left_out.append(LeftOut(title=what.title, reason=reason))
            self.say(f"{what.title}: left out ({reason})")
            return
        began = time.monotonic()
        fooled = self._fooled(what, attacked)
        correct = tuple(row in attacked and row not in fooled for row in rows)
        spent = time.monotonic() - began
        if what.kind == WHITE_BOX:  # its cost is known best
            self.budget.learn(spent, len(attacked) * self.budget.cost(what.forwards, what.gradients), what.survivors)
        part = Part(
            name=what.name,
            title=what.title,
            kind=what.kind,
            order=what.order,
            rows=tuple(rows),
            correct=correct,
            facts=what.facts,
        )
        self._made(part, spent)

    def _fooled(self, what: Measurement, attacked: list[int]) -> set[int]:
        """The clips that the network is wrong on."""
        fooled: set[int] = set()
        if not attacked:
            return fooled
        around = nullcontext() if what.naive else straight_through(self.target.network, self.blocks)
        bar = self._counting(what.title, int(len(attacked) * (what.forwards + 2 * what.gradients)))
        try:
            with around:
                for clips in what.made(attacked):
                    correct = self.target.correct(clips, attacked)
                    fooled |= {row for row, fine in zip(attacked, correct, strict=True) if not fine}
        finally:
            bar.close()
        return fooled

    def rows_for(self, what: Measurement) -> tuple[list[int], list[int]]:
        """The rows that are measured, and those among them that are attacked: correct ones on which it is open."""
        clean = self.parts[0].by_row()
        open_rows = {row for row, correct in clean.items() if correct}
        white = [part.by_row() for part in select(self.parts, WHITE_BOX, CASCADE)]
        if what.survivors:
            open_rows = {row for row in open_rows if all(rows.get(row, True) for rows in white)}
        rows = [row for row in self.order if row in clean][: what.most]
        attacked = [row for row in rows if row in open_rows]
        cost = self.budget.cost(what.forwards, what.gradients)
        fit = self.budget.fits(len(attacked), cost, what.share, self.budget.remaining())
        if fit < len(attacked):
            if fit == 0:
                return [], []
            rows = rows[: rows.index(attacked[fit])]
            attacked = attacked[:fit]
        return rows, attacked

    def planned(self, measurements: Sequence[Measurement], clips: int) -> list[tuple[str, int, float]]:
        """(title, clips, seconds) of each measurement, as if all clips were correct to the end."""
        remaining, found = self.budget.remaining(), []
        for what in measurements:
            cost = self.budget.cost(what.forwards, what.gradients)
            count = self.budget.fits(min(clips, what.most), cost, what.share, remaining)
            found.append((what.title, count, count * cost))
            remaining -= count * cost
        return found

    def _counting(self, title: str, total: int) -> Bar:
        bar = self.bars(title, total)
        self.target.network.count = bar.count
        return bar

    def _made(self, part: Part, seconds: float) -> Part:
        part = Part(**{**vars(part), "seconds": round(seconds, 2)})
        self.finished.save(part)
        return self._kept(part)

    def _kept(self, part: Part) -> Part:
        self.parts.append(part)
        self.say(f"{part.title}: {part.percent:.1f} % of {len(part.rows)} clips ({part.seconds:.1f} s)")
        if len(part.rows) < len(self.order) and part.kind != "clean" and part.kind != "growing bound":
            reason = f"on {len(part.rows)} of {len(self.order)} clips, for the budget"
            self.left_out.append(LeftOut(title=part.title, reason=reason))
        return part
