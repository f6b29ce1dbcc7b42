"""Comparisons of measurements of one check: paired by clips, and their worst case."""

import math
from collections.abc import Sequence

from pipeline_lib.records.checks import (
    CASCADE,
    CLEAN,
    GIVEN,
    GRADIENT_FREE,
    INSIDE,
    NOISE,
    WHITE_BOX,
    Finding,
    Part,
    select,
)
from pipeline_lib.reporting.audits import ROUNDING

# A difference between two attacks on the same clips counts at this error of the exact paired test (McNemar's): a check
# makes about ten such comparisons.
SIGNIFICANT = 0.005


def worst_case(parts: Sequence[Part]) -> Part:
    """Return which clips are correct under everything inside the bound, on the clips of the strongest measurement."""
    inside = select(parts, *INSIDE)
    main = next((kind for kind in (CASCADE, WHITE_BOX, GRADIENT_FREE, NOISE, CLEAN) if select(parts, kind)), CLEAN)
    first = max(select(parts, main), key=lambda part: len(part.rows))
    given = [part for part in select(parts, GIVEN) if is_inside(part)]
    known = [part.by_row() for part in (first, *inside, *given)]
    correct = tuple(all(rows.get(row, True) for rows in known) for row in first.rows)
    return Part(name="worst_case", title="worst case of all of these", kind=CASCADE, rows=first.rows, correct=correct)


def is_inside(given: Part) -> bool:
    """Whether the clips of a given attack are inside the bound and the box."""
    return given.facts["ratio"] <= 1 + ROUNDING and given.facts["excess"] <= ROUNDING


def below(one: Part, other: Part) -> bool:
    """Whether an accuracy is below another's, by the exact paired test on the clips that both measured."""
    return error_probability(one, other) < SIGNIFICANT


def error_probability(one: Part, other: Part) -> float:
    """Return the one-sided p-value of McNemar's exact test that `one` is not below `other`."""
    rows, others = one.by_row(), other.by_row()
    both = rows.keys() & others.keys()
    lost = sum(others[row] and not rows[row] for row in both)
    won = sum(rows[row] and not others[row] for row in both)
    tosses = lost + won
    return sum(math.comb(tosses, k) for k in range(lost, tosses + 1)) / 2**tosses


def paired(one: Part, other: Part) -> str:
    """Return both accuracies in words, on the clips that both measured."""
    rows, others = one.by_row(), other.by_row()
    both = sorted(rows.keys() & others.keys())
    percents = [100 * sum(values[row] for row in both) / len(both) for values in (rows, others)]
    return f"{percents[0]:.1f} against {percents[1]:.1f} % of the same {len(both)} clips"


def gap(one: Part, other: Part) -> float:
    """Return the difference of two accuracies in points, on the clips that both measured."""
    rows, others = one.by_row(), other.by_row()
    both = rows.keys() & others.keys()
    return 100 * sum(rows[row] - others[row] for row in both) / len(both)


def fault(name: str, sentence: str, decided_by: str) -> Finding:
    """Return the finding that no attack on this network measures robustness."""
    return Finding(name=name, severity="faulty", sentence=sentence, decided_by=decided_by)
