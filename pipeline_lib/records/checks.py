"""What a robustness check measured and found: plain records that are kept as JSON, and shown on its page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# Kinds of measurements.
CLEAN, NOISE, WHITE_BOX, CASCADE, GROWING = "clean", "noise", "white box", "cascade", "growing bound"
TRANSFER, GRADIENT_FREE, NAIVE, GIVEN = "transfer", "gradient free", "without BPDA or EOT", "given attack"
# Attacks inside the bound of the threat: the worst case is what is correct under all of them.
INSIDE = (NOISE, WHITE_BOX, CASCADE, TRANSFER, GRADIENT_FREE, NAIVE)

Severity = Literal["faulty", "masked", "masked plainly", "undecided", "note"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One measurement: which clips are correct under one attack, or without one.

    name: of its file. title: as shown. kind: of those above. order: its place among measurements of its kind (number of
    steps, size of the bound). rows: clips that were measured, by their number. correct: for each of them, whether it is
    correct both on the clean clip and under the attack. seconds: that it took. facts: what else was
    recorded, as plain data.
    """

    name: str
    title: str
    kind: str
    order: float = 0.0
    rows: tuple[int, ...]
    correct: tuple[bool, ...]
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """Accuracy in percent."""
        return 100.0 * sum(self.correct) / len(self.correct)

    def by_row(self) -> dict[int, bool]:
        """Clip -> whether it is correct."""
        return dict(zip(self.rows, self.correct, strict=True))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason for a verdict, or a note. decided_by: the name of the result that it rests on."""

    name: str
    severity: Severity
    sentence: str
    decided_by: str


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A measurement that was not made, or made on fewer clips, and why."""

    title: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of a check.

    verdict: one of those of `reporting.checks`. flagged: whether it is another one than "no sign of masking".
    findings: the one that decided first. worst: the clips that are correct under everything inside the bound.
    facts: of the network, by name (`check.probes`). about: model, clips, threat and settings in words.
    """

    verdict: str
    flagged: bool
    findings: tuple[Finding, ...]
    worst: Part
    parts: tuple[Part, ...]
    left_out: tuple[LeftOut, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def attacked(self) -> bool:
        """Whether anything inside the bound was measured; otherwise `worst` is the clean accuracy."""
        return bool(select(self.parts, *INSIDE, GIVEN))

    def named(self, name: str) -> Part | None:
        """The measurement of this name, if it was made."""
        return next((part for part in self.parts if part.name == name), None)

    def plain(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return asdict(self)


def part_of(plain: Mapping[str, Any]) -> Part:
    """The measurement of plain data, the inverse of `asdict`. Raises TypeError or KeyError for other data."""
    lists = {"rows": tuple(plain["rows"]), "correct": tuple(bool(value) for value in plain["correct"])}
    return Part(**{**plain, **lists})


def select(parts: Sequence[Part], *kinds: str) -> list[Part]:
    """The measurements of these kinds, by order."""
    return sorted((part for part in parts if part.kind in kinds), key=lambda part: part.order)
