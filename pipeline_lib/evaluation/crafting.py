"""Attacks some clips of a set, and measures them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.attacks.goal_loss import GoalLoss, LastLogits
from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.protocols import LatticeAttack, LossTransform
from pipeline_lib.clips.adversarial_store import compressed_delta, enlarged
from pipeline_lib.clips.loader import ClipSet, as_clips
from pipeline_lib.entries.facts import innermost, margin_of
from pipeline_lib.evaluation.attacked import AttackedClips, FirstStepFacts
from pipeline_lib.evaluation.audit import bound_facts, goal_reached, model_gap, require_finite, trace_of
from pipeline_lib.evaluation.bounds import unchanged_by
from pipeline_lib.evaluation.prediction import Scores, clips_at, prediction_draws, score
from pipeline_lib.evaluation.recording import FirstStep, RecordedLoss
from pipeline_lib.evaluation.source import Loaded, Settings
from pipeline_lib.evaluation.storage import Keep, on_lattice
from pipeline_lib.precision import autocast, computing_in, precision_of, weights_in
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators, copy_of


class LabelledClips(ClipSet, Protocol):
    """Clean clips, and the names of their classes by label."""

    classes: list[str]


def floor_of(attack: LatticeAttack) -> float:
    """The lower limit of the norm that an attack divides its gradients by; 0 without one."""
    return float(getattr(getattr(innermost(attack), "perturbation", None), "smallest_norm", 0.0))


@dataclass(frozen=True, kw_only=True)
class Crafting:
    """The inputs shared by all batches of a set.

    loss_transform: makes the attack's objective of its goal's loss. scored: the model's scores on all clean clips, if
    they are known.
    """

    attack: LatticeAttack
    loss_transform: LossTransform
    source: Loaded
    settings: Settings
    keep: Keep = on_lattice
    scored: Scores | None = None

    def clean_scores(self, data: LabelledClips, rows: np.ndarray, frames: np.ndarray) -> Scores:
        """The model's scores on the clean clips `rows`."""
        if self.scored is not None:
            return Scores(*(column[rows] for column in self.scored))
        videos, labels = clips_at(data, rows, self.settings.device)
        clips = as_clips(frames, self.settings.device)
        (scores,) = _scored(self, videos, labels, clips)
        return scores

    def in_precision(self, clips: Tensor) -> Tensor:
        """The model's logits, computed in the precision of the gradients."""
        with autocast(self.settings.precision, self.settings.device):
            return self.source.model(clips)

    def draws(self, videos: Sequence[str], purpose: str = "") -> list[torch.Generator]:
        return clip_generators(self.settings.seed, [video + purpose for video in videos])


class Made(NamedTuple):
    """What an attack made of some clips: live clips, and as they are stored, which are frames in `adversarial`."""

    recorded: RecordedLoss
    first_step: FirstStepFacts
    live: Tensor
    stored: Tensor
    adversarial: np.ndarray


Found = tuple[AttackedClips, list[bytes]]


def attack_clips(crafting: Crafting, data: LabelledClips, rows: np.ndarray, frames: np.ndarray) -> Found:
    """Attacks the clips `rows` of a set, with their frames; returns their facts and their compressed differences."""
    (found,) = attack_clips_in_one_run([crafting], data, rows, frames)
    return found


def attack_clips_in_one_run(
    craftings: Sequence[Crafting], data: LabelledClips, rows: np.ndarray, frames: np.ndarray
) -> list[Found]:
    """What `attack_clips` gives for each of several attacks that differ in their number of iterations only, in
    increasing order: the clips of the shorter ones are iterates of the last."""
    crafting = craftings[-1]
    videos, labels = clips_at(data, rows, crafting.settings.device)
    shown = enlarged(frames, margin_of(crafting.attack))
    clean = as_clips(shown, crafting.settings.device)
    made = _made(craftings, clean, labels, videos)
    of_clean = crafting.clean_scores(data, rows, frames)
    return [
        (
            _measured(one, data, rows, clean, of_clean, each),
            [compressed_delta(new, old) for new, old in zip(each.adversarial, shown, strict=True)],
        )
        for one, each in zip(craftings, made, strict=True)
    ]


def _measured(
    crafting: Crafting, data: LabelledClips, rows: np.ndarray, clean: Tensor, of_clean: Scores, made: Made
) -> AttackedClips:
    """The facts of attacked clips."""
    recorded, first_step, live, stored, adversarial = made
    videos, labels = clips_at(data, rows, crafting.settings.device)
    of_live, of_stored = _scored(crafting, videos, labels, live, stored)
    of_one = partial(score, crafting.source.model, draws=crafting.draws(videos[:1], "/transform"))
    return AttackedClips(
        first_step=first_step,
        trace=trace_of(recorded, of_clean, of_live, data.labels[rows]),
        bound=bound_facts(crafting.attack, live, stored, clean),
        clean=of_clean,
        live=of_live,
        stored=of_stored,
        model_gap=model_gap(recorded, of_one),
        goal_reached=goal_reached(recorded, of_stored.predictions, len(data.classes)),
        crc32=np.array([zlib.crc32(clip.tobytes()) for clip in adversarial], np.uint32),
    )


def score_clips(
    crafting: Crafting, data: LabelledClips, rows: np.ndarray, frames: np.ndarray
) -> tuple[Scores, list[bytes]]:
    """The scores of the clips `rows` as `attack_clips` would store them, at one forward pass; no clip is kept."""
    device = crafting.settings.device
    videos, labels = clips_at(data, rows, device)
    clean = as_clips(enlarged(frames, margin_of(crafting.attack)), device)
    (made,) = _made([crafting], clean, labels, videos)
    return _scored(crafting, videos, labels, made.stored)[0], []


def _made(craftings: Sequence[Crafting], clean: Tensor, labels: Tensor, videos: Sequence[str]) -> list[Made]:
    """The attacked clips of each attack. Raises PipelineError where they or their losses are not finite."""
    found = []
    for crafting, attacked in zip(craftings, _attacked(craftings, clean, labels, videos), strict=True):
        recorded, live, first_step = attacked
        require_finite(videos, "the attacked clips are", live)
        require_finite(videos, "the loss under attack is", *recorded.losses)
        with unchanged_by(crafting.attack, live, clean):
            stored, adversarial = crafting.keep(crafting.attack, live, clean)
        found.append(Made(recorded, first_step, live, stored, adversarial))
    return found


def _scored(crafting: Crafting, videos: Sequence[str], labels: Tensor, *clips: Tensor) -> list[Scores]:
    """The scores of each of several forms of the clips. Raises PipelineError for a loss that is not finite."""
    found = [score(crafting.source.model, each, labels, prediction_draws(videos)) for each in clips]
    require_finite(videos, "the loss as evaluated is", *(torch.from_numpy(scores.losses) for scores in found))
    return found


def _attacked(
    craftings: Sequence[Crafting], clean: Tensor, labels: Tensor, videos: Sequence[str]
) -> list[tuple[RecordedLoss, Tensor, FirstStepFacts]]:
    """Of each attack the record of its loss, the live clips (not on the 8-bit lattice), and its first step. All but the
    last end with iterates of the last one."""
    crafting = craftings[-1]
    settings, network = crafting.settings, crafting.source.network
    with attacking(network), drawing(crafting.draws(videos, "/goal")):
        criterion = goal_of(crafting.attack).criterion(crafting.source.model, clean, labels)
    last = LastLogits(crafting.in_precision)
    recorded = RecordedLoss(last, labels, criterion)
    precision = precision_of(crafting.attack, settings.precision)
    draws, attacked = crafting.draws(videos, "/transform"), []
    # The source's random numbers under attack are independent of those in its predictions.
    with (
        attacking(network, weights_in(crafting.attack, settings.precision)),
        computing_in(settings.precision),
        drawing(draws),
    ):
        first_step = FirstStep(crafting.loss_transform(recorded), floor=floor_of(crafting.attack))
        objective = GoalLoss(
            maximized=first_step,
            last=last,
            exact=crafting.source.model,
            clips=clean,
            labels=labels,
            goal=goal_of(crafting.attack),
            transform=crafting.loss_transform,
            kept=recorded.kept,
        )
        # A copy: the audit needs the clean clips, and an attack may write into its argument.
        ends = _ends(craftings, objective, clean.clone(), crafting.draws(videos))
        for one, live in zip(craftings, ends, strict=True):
            # The facts may take a pass of the network: they draw from copies, so that a longer attack is unchanged.
            step = first_step if one is crafting else replace(first_step)
            with autocast(precision, settings.device), drawing([copy_of(generator) for generator in draws]):
                attacked.append((recorded.until_now(), live, step.facts(live, clean)))
    return attacked


def _ends(
    craftings: Sequence[Crafting], objective: GoalLoss, clips: Tensor, generators: Sequence[torch.Generator]
) -> Iterator[Tensor]:
    """The live clips of each attack."""
    attack = craftings[-1].attack
    if len(craftings) == 1:
        yield attack(objective, clips, generators).detach()
    else:
        counts = [getattr(one.attack, type(attack).iterations) for one in craftings]  # type: ignore[attr-defined]
        yield from attack.iterates(objective, clips, generators, counts)  # type: ignore[attr-defined]
