"""The rule of a robustness check for the attack of the evaluation that is checked."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline_lib.records.checks import GIVEN, Finding, Part, select
from pipeline_lib.reporting.audits import ROUNDING, UNCHANGED_ALLOWED, ZERO_GRADIENTS_ALLOWED
from pipeline_lib.reporting.check_comparisons import below, fault, gap, paired, worst_case

# Largest fraction of a bound that an attack of steps never leaves unused, far below that of any sound one.
LEAST_USED = 0.1
# Points by which a given attack may be weaker than the worst case.
WEAKER_ALLOWED = 5.0


def of_given_attack(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield faults of the attack of the evaluation that is checked."""
    for part in select(parts, GIVEN):
        yield from _given_bound(part)
        yield from _given_passes(part)
        worst = worst_case([one for one in parts if one.kind != GIVEN])
        if below(worst, part) and gap(part, worst) > WEAKER_ALLOWED:
            why = "it took no gradient of this model" if not part.facts["gradients"] else "it is too weak"
            sentence = f"The given attack leaves more than the worst case, {why}: {paired(part, worst)}."
            name = "weak attack" if part.facts["gradients"] else "another model attacked"
            yield fault(name, sentence, "given")


def _given_bound(part: Part) -> Iterator[Finding]:
    ratio, unchanged = part.facts["ratio"], part.facts["unchanged"]
    if part.facts["excess"] > ROUNDING:
        words = f"{part.facts['excess']:.3g} outside [0, 1]"
        yield fault("outside the box", f"The given attack returns clips {words}: they are no clips.", "given")
    if math.isinf(ratio):
        yield fault("wrong mask", "The given attack changes pixels outside the region of the threat.", "given")
    elif ratio > 1 + ROUNDING:
        words = f"The given attack changes clips by {ratio:.3g} times the bound"
        yield fault("bound in wrong units", f"{words}: it has another bound, or one in other units.", "given")
    elif 0 < ratio < LEAST_USED:
        words = f"The given attack uses at most {100 * ratio:.2g} % of the bound"
        yield fault("bound in wrong units", f"{words}: a bound in other units (4/255 on clips in 0..255)?", "given")
    if unchanged > UNCHANGED_ALLOWED:
        words = f"The given attack leaves {100 * unchanged:.0f} % of the correct clips unchanged"
        yield fault("zero steps", f"{words}: it makes no step on them.", "given")


def _given_passes(part: Part) -> Iterator[Finding]:
    if part.facts["train_mode"]:
        yield fault("train mode", "The given attack runs the network in train mode.", "given")
    if part.facts["half"]:
        words = "The given attack computes in float16, where the gradients of a mean loss round to zero"
        yield fault("float16", f"{words}. Use float32 and a sum of losses.", "given")
    low, high = part.facts["low"], part.facts["high"]
    if low < -ROUNDING or high > 1 + ROUNDING:
        words = f"The given attack shows the network inputs from {low:.3g} to {high:.3g} and the evaluation clips in"
        yield fault("normalized outside", f"{words} [0, 1]: put the normalization into the network.", "given")
    if part.facts["zero_gradients"] > ZERO_GRADIENTS_ALLOWED:
        words = f"{100 * part.facts['zero_gradients']:.0f} % of the given attack's gradients are exactly zero"
        yield fault("zero gradients", f"{words} (they are cut, or underflow).", "given")
