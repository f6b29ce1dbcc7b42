"""`evaluate`: the check of a network, from Python."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.guards import require_precision, sound_clips, sound_labels
from pipeline_lib.check import given, probes
from pipeline_lib.check import labels as of_labels
from pipeline_lib.check.announcing import announce
from pipeline_lib.check.budget import Budget
from pipeline_lib.check.finished import Finished
from pipeline_lib.check.given import GivenAttack
from pipeline_lib.check.measurement import Measurement
from pipeline_lib.check.measurements import Attacks
from pipeline_lib.check.measuring import Bars, Measuring, Reporting, no_bar
from pipeline_lib.check.options import Asked, Options
from pipeline_lib.check.straight_through import blocks
from pipeline_lib.check.target import Target, identity
from pipeline_lib.check.threats import Threat, parsed, require_fitting
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.fingerprints import digest, fingerprint
from pipeline_lib.records.checks import GIVEN, Check
from pipeline_lib.reporting.check_comparisons import worst_case
from pipeline_lib.reporting.checks import judged
from pipeline_lib.reporting.masking import NO_SIGN

# Elements of a batch, about six clips of 16 x 112 x 112: activations of a backward pass take a thousand times as much.
ELEMENTS = 4_000_000
LARGEST_BATCH = 64
# Clips whose passes are timed.
TIMED = 2
CLIPS_OF_SCALES = 32


def evaluate(
    network: nn.Module,
    clips: Tensor,
    labels: Tensor,
    threat: str | Threat,
    *,
    names: Sequence[str] | None = None,
    options: Options | None = None,
    say: Reporting = lambda line: None,
    bars: Bars = no_bar,
) -> Check:
    """The check of a network under a threat such as `linf:4/255`: measurements, findings and a verdict.

    network: clips -> logits (N, classes), normalization included. It is left as it was.
    clips: (N, C, T, H, W) or images (N, C, H, W), floats in [0, 1], one of each video, since intervals and tests count
        clips; labels: (N,) integers.
    names: one per clip; by default their numbers. options: limits, and an attack and a network of your own that the
        check uses. say, bars: show progress.

    Raises:
        PipelineError: in one sentence, for clips, labels, a threat or a network that are unsuitable.
    """
    options, modes = options or Options(), [part.training for part in network.modules()]
    threat = parsed(threat) if isinstance(threat, str) else threat
    target = _target(network, clips, labels, names, options)
    require_fitting(threat, tuple(target.clips.shape[1:]))
    asked = Asked(threat=threat, modes=modes, options=options, say=say, bars=bars)
    with torch.inference_mode(False):
        try:
            return _checked(target, asked)
        finally:
            for part, mode in zip(network.modules(), modes, strict=True):
                part.training = mode


def _target(network: nn.Module, clips: Tensor, labels: Tensor, names: Sequence[str] | None, options: Options) -> Target:
    """Raises PipelineError for unsuitable clips, labels or weights."""
    try:
        clips = sound_clips(clips)
        labels = sound_labels(labels, clips)
        require_precision(network, clips)
    except ValueError as error:
        raise PipelineError(str(error)) from error
    names = [str(row) for row in range(len(clips))] if names is None else list(names)
    if len(names) != len(clips) or len(set(names)) < len(names):
        raise PipelineError(f"{len(set(names))} different names for {len(clips)} clips: give one per clip")
    size = options.batch_size or max(1, min(LARGEST_BATCH, ELEMENTS // clips[0].numel()))
    return Target(network, clips, labels, names, size, options.seed)


def _checked(target: Target, asked: Asked) -> Check:
    options = asked.options
    generator = torch.Generator().manual_seed(options.seed)
    order = torch.randperm(len(target.clips), generator=generator).tolist()
    began, few = time.monotonic(), order[:TIMED]
    logits = probes.checked_logits(target, few, options.classes)
    budget = timed(target, few, None if options.minutes is None else 60 * options.minutes, began)
    facts, names = _probed(target, order, budget, asked.modes)
    measuring = Measuring(
        target=target,
        budget=budget,
        finished=Finished(options.folder, _key(target, asked, logits)),
        order=order,
        blocks=names,
        say=asked.say,
        bars=asked.bars,
    )
    attacks = Attacks(
        target=target,
        threat=asked.threat,
        classes=logits.shape[1],
        blocks=bool(names),
        stand_in=options.stand_in,
        steps=options.steps,
    ).all_of_them()
    attacks[2:2] = [] if options.attack is None else [_given(options.attack, asked.threat, target)]
    announce(measuring, attacks, asked.say)
    facts |= _of_clean(measuring, logits.shape[1])
    for what in attacks:
        measuring.measure(what)
    return result(measuring, facts, asked.threat)


def _probed(target: Target, order: Sequence[int], budget: Budget, modes: Sequence[bool]) -> tuple[dict, list[str]]:
    """Facts of the network, and the names of its parts without a gradient. From then on the target draws the right
    number of votes, and returns logits."""
    # At least two clips; of a slow network not more than a twentieth of the budget.
    few = order[: probes.MOST]
    few = few[: max(2, budget.fits(len(few), 6 * budget.forward, 0.05, budget.remaining()))]
    facts = probes.of_outputs(target, few, modes)
    target.random, target.network.probabilities = facts["random"], facts["probabilities"]
    facts |= probes.of_gradients(target, few)
    masked = facts["zero_gradients"] > 0 and not facts["constant"]
    names = blocks(target, few) if masked else []
    return facts | {"blocks": tuple(name.removeprefix("network.") for name in names)}, names


def _key(target: Target, asked: Asked, logits: Tensor) -> str:
    """A hash of everything that measurements depend on."""
    options = asked.options
    code = getattr(options.attack, "__code__", None)
    return digest(
        options.key,
        identity(target.network, target.clips, target.labels),
        "" if options.stand_in is None else identity(options.stand_in),
        f"{asked.threat.text} {asked.threat.precision} {options.seed} {options.steps}",
        fingerprint(Path(__file__)),
        "" if target.random else str(logits[0].tolist()),
        "" if options.attack is None else repr(code and (code.co_code, code.co_consts)),
    )


def timed(target: Target, rows: Sequence[int], seconds: float | None, began: float) -> Budget:
    """The budget, with the measured seconds of a pass of one clip."""
    start = time.monotonic()
    target.logits(target.clips[rows], rows)
    middle = time.monotonic()
    probes.margin_gradient(target, rows)
    end = time.monotonic()
    return Budget(
        seconds=seconds, forward=(middle - start) / len(rows), with_gradient=(end - middle) / len(rows), began=began
    )


def _of_clean(measuring: Measuring, classes: int) -> dict[str, Any]:
    """Measures the clean accuracy; facts about labels and the scale of the clips."""
    clean, target = measuring.clean(share=0.1), measuring.target
    rows = list(clean.rows)
    predictions = torch.tensor(clean.facts["predictions"])
    facts: dict[str, Any] = {"majority": of_labels.majority(target.labels[rows])}
    facts |= of_labels.better_labels(predictions, target.labels[rows], classes)
    some = measuring.budget.fits(
        min(len(rows), CLIPS_OF_SCALES), 4 * measuring.budget.forward, 0.1, measuring.budget.remaining()
    )
    return facts | of_labels.better_scale(target, rows[:some], clean.correct[:some]) if some else facts


def _given(attack: GivenAttack, threat: Threat, target: Target) -> Measurement:
    """An attack of others."""
    facts: dict[str, Any] = {}

    def made(rows: Sequence[int]) -> Iterator[Tensor]:
        clips, passes = given.given_clips(attack, target, rows)
        facts.update(passes | given.given_bound(clips, target, rows, threat))
        yield clips

    return Measurement(
        name="given",
        title="the given attack",
        kind=GIVEN,
        made=made,
        gradients=20,
        share=0.4,
        at_once=True,
        facts=facts,
    )


def result(measuring: Measuring, facts: dict[str, Any], threat: Threat) -> Check:
    """The findings, and the verdict."""
    verdict, findings = judged(measuring.parts, facts)
    return Check(
        verdict=verdict,
        flagged=verdict != NO_SIGN,
        findings=findings,
        worst=worst_case(measuring.parts),
        parts=tuple(measuring.parts),
        left_out=tuple(measuring.left_out),
        facts=facts,
        about={"threat": threat.text, "clips": str(len(measuring.order))},
    )
