"""The rule of a robustness check: from measurements and facts of the network to findings and one verdict."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pipeline_lib.records.checks import (
    CASCADE,
    CLEAN,
    GRADIENT_FREE,
    GROWING,
    NAIVE,
    NOISE,
    TRANSFER,
    WHITE_BOX,
    Finding,
    Part,
    Severity,
    select,
)
from pipeline_lib.reporting.audits import ZERO_GRADIENTS_ALLOWED
from pipeline_lib.reporting.check_comparisons import below, fault, paired, worst_case
from pipeline_lib.reporting.check_given import of_given_attack
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


def judged(parts: Sequence[Part], facts: Mapping[str, Any]) -> tuple[str, tuple[Finding, ...]]:
    """Return the verdict and the findings, those that decided it first.

    parts: measurements of one network. facts: of the network, see `check.probes` and `check.labels`.
    """
    rules = (of_outputs, of_labels, of_gradients, of_given_attack, of_strength, of_detours, of_steps)
    found = [finding for rule in rules for finding in rule(parts, facts)]
    found.sort(key=lambda finding: ORDER.index(finding.severity))
    return VERDICTS[found[0].severity] if found else NO_SIGN, tuple(found)


def of_outputs(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield faults of what the network returns, whatever the attack."""
    if facts.get("constant"):
        yield fault("constant model", "The output does not change with the input: the model is constant.", "outputs")
    elif facts.get("distinct_logits", 1.0) < 0.5:
        fraction = 100 * facts["distinct_logits"]
        words = f"Only {fraction:.0f} % of the logits are distinct: they are quantized, and have no gradient"
        yield fault("quantized logits", f"{words} that an attack could follow.", "outputs")
    if facts.get("probabilities"):
        words = "The outputs are probabilities (each row sums to 1), not logits: cross-entropy applies softmax again"
        yield fault("softmax output", f"{words}, and its gradient is small. Return the logits.", "outputs")
    if facts.get("train_mode"):
        yield fault("train mode", f"{facts['train_mode']} Call network.eval() before the evaluation.", "outputs")
    if facts.get("batch_gap", 0.0) > 1e-2 and not facts.get("random"):
        words = "A clip's logits depend on the other clips of the batch"
        yield fault("depends on the batch", f"{words} (BatchNorm with the statistics of the batch).", "outputs")
    if facts.get("clipped"):
        words = f"{100 * facts['clipped']:.0f} % of the pixels have no gradient because of their value: the network"
        yield fault("clipped input", f"{words} clips its (normalized) input, and no attack can use them.", "gradients")


def of_labels(parts: Sequence[Part], facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield faults of labels and of the scale of the input, and a model that has learned nothing."""
    clean = select(parts, CLEAN)[0]
    if facts.get("better_scale"):
        words = f"On {facts['better_scale']} the model is correct on {facts['better_scale_percent']:.0f} % instead of"
        advice = "Put the conversion into the network, so that clips are in [0, 1] and the bound has the stated unit."
        yield fault("input in other units", f"{words} {clean.percent:.0f} %. {advice}", clean.name)
    elif facts.get("better_labels"):
        words = f"With {facts['better_labels']} {facts['better_labels_percent']:.0f} % are correct instead of"
        yield fault(
            "shifted labels", f"{words} {clean.percent:.0f} %: labels and model count classes differently.", "clean"
        )
    elif not facts.get("constant") and wilson(clean.percent, len(clean.rows))[0] <= facts["majority"]:
        words = f"The clean accuracy, {clean.percent:.1f} %, does not lie above that of a constant answer"
        yield fault(
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
