"""Runs measurements within a budget: on as many clips as fit, finished ones taken from the folder of the check."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline_lib.check.budget import FEWEST, Budget
from pipeline_lib.check.finished import Finished
from pipeline_lib.check.measurement import Measurement
from pipeline_lib.check.straight_through import straight_through
from pipeline_lib.check.target import Counter, Target, uncounted
from pipeline_lib.records.checks import CASCADE, WHITE_BOX, LeftOut, Part, select

# A measurement may take this fraction of the remaining time at most, where clips are not fooled early.
LATEST = 0.7
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


class OutOfTimeError(Exception):
    """A measurement has taken more time than it may."""


def until(deadline: float, bar: Bar) -> Counter:
    """Counts passes on a bar, and raises OutOfTimeError after a deadline (of `time.monotonic`)."""

    def count(passes: int) -> None:
        bar.count(passes)
        if time.monotonic() > deadline:
            raise OutOfTimeError

    return count


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
        bar = self.bars("clean", count)
        self.target.network.count = bar.count
        try:
            predictions = self.target.predictions(self.target.clips[rows], rows)
        finally:
            self.target.network.count = uncounted
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
            cost = FEWEST * self._early_cost(what)
            left = max(0.0, self.budget.remaining())
            self._left_out(what, f"{FEWEST} clips take about {cost / 60:.1f} min, and {left / 60:.1f} are left")
            return
        began = time.monotonic()
        done, fooled = self._fooled(what, attacked)
        spent = time.monotonic() - began
        if attacked and not done:
            self._left_out(what, f"stopped after {spent / 60:.1f} min, before {FEWEST} clips were finished")
            return
        if len(done) < len(attacked):
            rows = rows[: rows.index(attacked[len(done)])]
        correct = tuple(row in done and row not in fooled for row in rows)
        if what.kind == WHITE_BOX:  # its cost is known best; it is less where clips are fooled early
            self.budget.learn(spent, len(done) * self.budget.cost(what.forwards, what.gradients), at_most=True)
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

    def _fooled(self, what: Measurement, attacked: Sequence[int]) -> tuple[set[int], set[int]]:
        """The clips that were attacked within the measurement's share of the time, and those that the network is wrong
        on. Batch by batch: how many fit depends on how early clips are fooled."""
        done: set[int] = set()
        fooled: set[int] = set()
        around = nullcontext() if what.naive else straight_through(self.target.network, self.blocks)
        bar = self.bars(what.title, int(len(attacked) * (what.forwards + 2 * what.gradients)))
        began, remaining = time.monotonic(), self.budget.remaining()
        allowed = what.share * remaining
        self.target.network.count = until(began + max(allowed, LATEST * remaining), bar)
        try:
            with around, suppress(OutOfTimeError):
                for some in self._batches(what, attacked):
                    spent = time.monotonic() - began
                    if done and spent * (1 + len(some) / len(done)) > allowed:
                        break
                    fooled |= self._wrong(what, some)
                    done |= set(some)
        finally:
            self.target.network.count = uncounted
            bar.close()
        return done, fooled

    def _wrong(self, what: Measurement, rows: Sequence[int]) -> set[int]:
        """The clips that the network is wrong on under the measurement."""
        correct = [self.target.correct(clips, rows) for clips in what.made(rows)]
        return {row for row, fine in zip(rows, zip(*correct, strict=True), strict=True) if not all(fine)}

    def _batches(self, what: Measurement, attacked: Sequence[int]) -> Iterator[Sequence[int]]:
        """The clips in the order of the measurement. The first batch is small if it may take longer than its share."""
        size = max(1, len(attacked)) if what.at_once else max(FEWEST, self.target.batch_size)
        cost = self.budget.cost(what.forwards, what.gradients)
        sure = self.budget.fits(len(attacked), cost, what.share, self.budget.remaining())
        first = size if what.at_once else min(size, max(sure, FEWEST))
        starts = [0, *range(first, len(attacked), size)] if attacked else []
        yield from (attacked[start:end] for start, end in pairwise([*starts, len(attacked)]))

    def _fits(self, what: Measurement, clips: int) -> int:
        """How many clips fit if all are fooled early; 0 where they would be too few."""
        share = max(what.share, LATEST) if what.kind == WHITE_BOX else what.share  # nothing is decided without one
        return self.budget.fits(clips, self._early_cost(what), share, self.budget.remaining())

    def _early_cost(self, what: Measurement) -> float:
        """Seconds for a clip that is fooled early."""
        return self.budget.cost(what.forwards, what.early * what.gradients)

    def _left_out(self, what: Measurement, reason: str) -> None:
        self.left_out.append(LeftOut(title=what.title, reason=reason))
        self.say(f"{what.title}: left out ({reason})")

    def rows_for(self, what: Measurement) -> tuple[list[int], list[int]]:
        """The rows that may be measured, and those among them that are attacked: correct ones on which it is open. No
        rows if too few clips fit."""
        clean = self.parts[0].by_row()
        open_rows = {row for row, correct in clean.items() if correct}
        white = [part.by_row() for part in select(self.parts, WHITE_BOX, CASCADE)]
        if what.survivors:
            open_rows = {row for row in open_rows if all(rows.get(row, True) for rows in white)}
        rows = [row for row in self.order if row in clean][: what.most]
        attacked = [row for row in rows if row in open_rows]
        fit = self._fits(what, len(attacked))
        if attacked and fit == 0:
            return [], []
        if what.at_once and fit < len(attacked):
            rows, attacked = rows[: rows.index(attacked[fit])], attacked[:fit]
        return rows, attacked

    def planned(self, measurements: Sequence[Measurement], clips: int) -> list[tuple[str, int, float, int]]:
        """(title, clips, seconds, clips if they are fooled early) of each measurement; the first two as if all clips
        were correct to the end."""
        remaining, found = self.budget.remaining(), []
        for what in measurements:
            most, cost = min(clips, what.most), self.budget.cost(what.forwards, what.gradients)
            count = self.budget.fits(most, cost, what.share, remaining)
            early = self.budget.fits(most, self._early_cost(what), what.share, remaining)
            found.append((what.title, count, count * cost, early))
            remaining -= count * cost
        return found

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
