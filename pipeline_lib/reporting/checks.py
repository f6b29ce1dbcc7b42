"""The rule of a robustness check: from measurements and facts of the network to findings and one verdict."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pipeline_lib.records.checks import (
    CASCADE,
    CLEAN,
    GIVEN,
    GRADIENT_FREE,
    GROWING,
    INSIDE,
    NAIVE,
    NOISE,
    TRANSFER,
    WHITE_BOX,
    Finding,
    Part,
    Severity,
    select,
)
from pipeline_lib.reporting.audits import ROUNDING, UNCHANGED_ALLOWED, ZERO_GRADIENTS_ALLOWED
from pipeline_lib.reporting.masking import LEFT_BY_AN_UNBOUNDED_ATTACK, NO_SIGN
from pipeline_lib.reporting.metrics import wilson

FAULTY = "the evaluation is faulty"
MASKED = "gradients are masked"
MASKED_PLAINLY = "gradients are masked but for BPDA or EOT"
UNDECIDED = "not decided within the budget"
VERDICTS: dict[Severity, str] = {
    "faulty": FAULTY,
    "masked": MASKED,
    "masked plainly": MASKED_PLAINLY,
    "undecided": UNDECIDED,
    "note": NO_SIGN,
}
ORDER = tuple(VERDICTS)

# A difference between two attacks on the same clips counts at this error of the exact paired test (McNemar's): a check
# makes about ten such comparisons.
SIGNIFICANT = 0.005
# Largest fraction of a bound that an attack of steps never leaves unused, far below that of any sound one.
LEAST_USED = 0.1
# Points by which a given attack may be weaker than the worst case.
WEAKER_ALLOWED = 5.0


def judged(parts: Sequence[Part], facts: Mapping[str, Any]) -> tuple[str, tuple[Finding, ...]]:
    """Return the verdict and the findings, those that decided it first.

    parts: measurements of one network. facts: of the network, see `check.probes` and `check.labels`.
    """
    rules = (of_outputs, of_labels, of_gradients, of_given_attack, of_strength, of_detours, of_steps)
    found = [finding for rule in rules for finding in rule(parts, facts)]
    found.sort(key=lambda finding: ORDER.index(finding.severity))
    return VERDICTS[found[0].severity] if found else NO_SIGN, tuple(found)


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


def of_outputs(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield faults of what the network returns, whatever the attack."""
    if facts.get("constant"):
        yield _fault("constant model", "The output does not change with the input: the model is constant.", "outputs")
    elif facts.get("distinct_logits", 1.0) < 0.5:
        fraction = 100 * facts["distinct_logits"]
        words = f"Only {fraction:.0f} % of the logits are distinct: they are quantized, and have no gradient"
        yield _fault("quantized logits", f"{words} that an attack could follow.", "outputs")
    if facts.get("probabilities"):
        words = "The outputs are probabilities (each row sums to 1), not logits: cross-entropy applies softmax again"
        yield _fault("softmax output", f"{words}, and its gradient is small. Return the logits.", "outputs")
    if facts.get("train_mode"):
        yield _fault("train mode", f"{facts['train_mode']} Call network.eval() before the evaluation.", "outputs")
    if facts.get("batch_gap", 0.0) > 1e-2 and not facts.get("random"):
        words = "A clip's logits depend on the other clips of the batch"
        yield _fault("depends on the batch", f"{words} (BatchNorm with the statistics of the batch).", "outputs")
    if facts.get("clipped"):
        words = f"{100 * facts['clipped']:.0f} % of the pixels have no gradient because of their value: the network"
        yield _fault("clipped input", f"{words} clips its (normalized) input, and no attack can use them.", "gradients")


def of_labels(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield faults of labels and of the scale of the input, and a model that has learned nothing."""
    clean = select(parts, CLEAN)[0]
    if facts.get("better_scale"):
        words = f"On {facts['better_scale']} the model is correct on {facts['better_scale_percent']:.0f} % instead of"
        advice = "Put the conversion into the network, so that clips are in [0, 1] and the bound has the stated unit."
        yield _fault("input in other units", f"{words} {clean.percent:.0f} %. {advice}", clean.name)
    elif facts.get("better_labels"):
        words = f"With {facts['better_labels']} {facts['better_labels_percent']:.0f} % are correct instead of"
        yield _fault(
            "shifted labels", f"{words} {clean.percent:.0f} %: labels and model count classes differently.", "clean"
        )
    elif not facts.get("constant") and wilson(clean.percent, len(clean.rows))[0] <= facts["majority"]:
        words = f"The clean accuracy, {clean.percent:.1f} %, does not lie above that of a constant answer"
        yield _fault(
            "learned nothing", f"{words} ({facts['majority']:.1f} %): there is no robustness to measure.", "clean"
        )


def of_gradients(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield zero gradients; they are plain masking if an attack by BPDA is possible."""
    zero = facts.get("zero_gradients", 0.0)
    if zero <= ZERO_GRADIENTS_ALLOWED or facts.get("constant"):
        return
    words = f"{100 * zero:.0f} % of the clips have a gradient of exactly zero"
    blocks = facts.get("blocks", ())
    if blocks:
        where = f"{words}: {', '.join(blocks[:3])} has none. The attacks here replace it by the identity (BPDA)."
        yield Finding(name="detached transform", severity="masked plainly", sentence=where, decided_by="gradients")
    else:
        yield Finding(name="zero gradients", severity="masked", sentence=f"{words}: it is cut.", decided_by="gradients")


def of_strength(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield signs that the white-box attacks here are not the strongest: an attack without gradients is."""
    white = select(parts, WHITE_BOX, CASCADE)
    if not white:
        sentence = "No white-box attack fits into the budget: give more minutes, fewer frames or smaller clips."
        yield Finding(name="no attack", severity="undecided", sentence=sentence, decided_by="clean")
        return
    strongest = min(white, key=lambda part: (part.percent, -len(part.rows)))
    for kind, words in (
        (NOISE, "Random noise"),
        (TRANSFER, "Transfer from a stand-in"),
        (GRADIENT_FREE, "A search without gradients"),
    ):
        for part in select(parts, kind):
            if below(part, strongest):
                sentence = f"{words} is stronger than every white-box attack: {paired(part, strongest)}."
                yield Finding(name=f"{kind} is stronger", severity="masked", sentence=sentence, decided_by=part.name)
    bounds = select(parts, GROWING)
    for small, large in zip([strongest, *bounds], bounds, strict=False):
        if below(small, large):
            sentence = f"A larger bound leaves more clips correct: {paired(large, small)}."
            yield Finding(name="larger bound is weaker", severity="masked", sentence=sentence, decided_by=large.name)
    if bounds and wilson(bounds[-1].percent, len(bounds[-1].rows))[0] > LEFT_BY_AN_UNBOUNDED_ATTACK:
        sentence = f"{bounds[-1].percent:.1f} % is left at the largest bound, at which every clip can become any other."
        yield Finding(name="unbounded attack fails", severity="masked", sentence=sentence, decided_by=bounds[-1].name)


def of_detours(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield that an attack without BPDA or EOT is weaker than with it."""
    same = next((part for part in select(parts, WHITE_BOX) if part.name.startswith("pgd_")), None)
    for naive in select(parts, NAIVE):
        if same is not None and below(same, naive):
            sentence = f"{naive.title} is weaker than with it: {paired(naive, same)}."
            yield Finding(name=naive.title, severity="masked plainly", sentence=sentence, decided_by=naive.name)


def of_steps(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield that more steps are weaker (masking), or a note that few steps leave more than the worst case."""
    curve = [part for part in select(parts, WHITE_BOX) if part.name.startswith("pgd_")]
    for fewer, more in pairwise(curve):
        if below(fewer, more):
            sentence = f"More steps leave more clips correct: {paired(more, fewer)}."
            yield Finding(name="more steps are weaker", severity="masked", sentence=sentence, decided_by=more.name)
    worst = worst_case(parts)
    if curve and below(worst, curve[0]):
        sentence = (
            f"{curve[0].title} leaves more than the worst case: {paired(curve[0], worst)}. Report the worst case."
        )
        yield Finding(name="few steps are weak", severity="note", sentence=sentence, decided_by="worst_case")


def of_given_attack(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield faults of the attack of the evaluation that is checked."""
    for part in select(parts, GIVEN):
        yield from _given_bound(part)
        yield from _given_passes(part)
        worst = worst_case([one for one in parts if one.kind != GIVEN])
        if below(worst, part) and _gap(part, worst) > WEAKER_ALLOWED:
            why = "it took no gradient of this model" if not part.facts["gradients"] else "it is too weak"
            sentence = f"The given attack leaves more than the worst case, {why}: {paired(part, worst)}."
            name = "weak attack" if part.facts["gradients"] else "another model attacked"
            yield _fault(name, sentence, "given")


def _given_bound(part: Part) -> Iterator[Finding]:
    ratio, unchanged = part.facts["ratio"], part.facts["unchanged"]
    if part.facts["excess"] > ROUNDING:
        words = f"{part.facts['excess']:.3g} outside [0, 1]"
        yield _fault("outside the box", f"The given attack returns clips {words}: they are no clips.", "given")
    if math.isinf(ratio):
        yield _fault("wrong mask", "The given attack changes pixels outside the region of the threat.", "given")
    elif ratio > 1 + ROUNDING:
        words = f"The given attack changes clips by {ratio:.3g} times the bound"
        yield _fault("bound in wrong units", f"{words}: it has another bound, or one in other units.", "given")
    elif 0 < ratio < LEAST_USED:
        words = f"The given attack uses at most {100 * ratio:.2g} % of the bound"
        yield _fault("bound in wrong units", f"{words}: a bound in other units (4/255 on clips in 0..255)?", "given")
    if unchanged > UNCHANGED_ALLOWED:
        words = f"The given attack leaves {100 * unchanged:.0f} % of the correct clips unchanged"
        yield _fault("zero steps", f"{words}: it makes no step on them.", "given")


def _given_passes(part: Part) -> Iterator[Finding]:
    if part.facts["train_mode"]:
        yield _fault("train mode", "The given attack runs the network in train mode.", "given")
    if part.facts["half"]:
        words = "The given attack computes in float16, where the gradients of a mean loss round to zero"
        yield _fault("float16", f"{words}. Use float32 and a sum of losses.", "given")
    low, high = part.facts["low"], part.facts["high"]
    if low < -ROUNDING or high > 1 + ROUNDING:
        words = f"The given attack shows the network inputs from {low:.3g} to {high:.3g} and the evaluation clips in"
        yield _fault("normalized outside", f"{words} [0, 1]: put the normalization into the network.", "given")
    if part.facts["zero_gradients"] > ZERO_GRADIENTS_ALLOWED:
        words = f"{100 * part.facts['zero_gradients']:.0f} % of the given attack's gradients are exactly zero"
        yield _fault("zero gradients", f"{words} (they are cut, or underflow).", "given")


def _gap(one: Part, other: Part) -> float:
    """Return the difference of two accuracies in points, on the clips that both measured."""
    rows, others = one.by_row(), other.by_row()
    both = rows.keys() & others.keys()
    return 100 * sum(rows[row] - others[row] for row in both) / len(both)


def _fault(name: str, sentence: str, decided_by: str) -> Finding:
    return Finding(name=name, severity="faulty", sentence=sentence, decided_by=decided_by)
