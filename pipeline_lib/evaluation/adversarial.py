"""Adversarial sets: every test clip attacked on a source model, cached to disk, with an audit of the attack.

What is finished stays in the run folder, so that a killed job goes on where it was.
"""

import csv
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goal_loss import GoalLoss, NotedLogits
from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.losses import Loss, attacking
from pipeline_lib.clips.adversarial_store import compressed_delta, enlarged, write_adversarial
from pipeline_lib.clips.loader import Prefetched, as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Model
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import loss_of_entry, margin_of, own_entry
from pipeline_lib.entries.storages import storage_of
from pipeline_lib.evaluation.audit import (
    Columns,
    FirstStep,
    LatticeAttack,
    RecordedLoss,
    audit_row,
    goal_reached,
    learned_columns,
    measured_columns,
    model_gap,
    recorded_columns,
    require_finite,
    trace_rows,
    unchanged_by,
)
from pipeline_lib.evaluation.learning import load_pattern, load_zero_elements
from pipeline_lib.evaluation.prediction import Scores, branches_of, prediction_draws, score, write_predictions
from pipeline_lib.evaluation.shards import compressed_clips, finished_rows, joined_columns, missing_rows, shard_of
from pipeline_lib.evaluation.storage import KEEP, Keep, on_lattice
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import STOPPED, atomic_write, run_folder, stop_requests
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize, architecture, memory_of
from pipeline_lib.models.trained import check_classes, load_model, view
from pipeline_lib.precision import Precision, autocast, computing_in, precision_of, run_metadata, weights_in
from pipeline_lib.provenance.fingerprints import canonical, digest, file_digest
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators


def make_adversarial_set(
    attack_entry: dict[str, Any],
    *,
    weights: Path,
    branch: str | None,
    clips: Path,
    learned: Path | None = None,
    runs: Path,
    code: str,
    batch_size: int,
    seed: int,
    precision: Precision = "fp32",
    gpu_share: int = 1,
    adversarial: Path,
    predictions: Path,
    audit: Path,
    trace: Path,
    device: torch.device,
) -> None:
    """Attacks every clip on the source model and writes the set, the source's own (white-box) predictions on the stored
    clips, the audit (one row) and the trace (accuracy and loss of the live clips at each iteration).

    attack_entry: an attack with, beside its fields, the `loss` that it climbs and the `storage` of its clips, if given.
    precision: what the attack computes its gradients in; clips are always scored in fp32. gpu_share: jobs on a GPU."""
    data, (attack, loss_transform) = Clips(clips), build_attack(attack_entry)
    if learned:
        attack = attack.learned(load_pattern(learned, device))
    source = load_model(weights, device)
    check_classes(source, data.classes, weights)
    entry = {"attack": attack_entry, "branch": branch, "source": source.entry, "seed": seed, "batch_size": batch_size}
    entry |= {"precision": precision}
    patterns = [file_digest(learned)] if learned else []
    storage = storage_of(attack_entry)
    key = digest(canonical(entry), code, data.checksum, file_digest(weights), *patterns)
    with run_folder(runs, key) as folder, stop_requests() as stop:
        model, keep = view(source.network, branch), KEEP[storage]
        crafting = Crafting(attack, loss_transform, source.network, model, seed, precision, device, keep)
        work = attack_entry, precision, architecture(source.network), list(data.shape)
        in_batches = AdaptiveBatchSize(batch_size, memory_of(runs.with_name("batch_sizes"), device, gpu_share, *work))
        with computing_in("fp32"):
            shards = _attack_batches(crafting, data, batch_size, in_batches, folder, stop)
        LOGGER.info("attacked with %s", run_metadata(precision, device, seed=seed, clips_at_once=in_batches.size))
        columns = joined_columns(shards) | (learned_columns(load_zero_elements(learned), len(data)) if learned else {})
        chunks = compressed_clips(shards)
        write_adversarial(adversarial, data, chunks, columns["crc32"], entry, margin_of(attack), storage)
        write_predictions(predictions, data, _stored_scores(columns), branches_of(source.network))
        _write_rows(audit, [audit_row(columns, data.labels, precision_of(attack, precision))])
        _write_rows(trace, trace_rows(columns))
        for shard in shards:
            shard.unlink()


def build_attack(entry: dict[str, Any]) -> tuple[Any, Callable[[Loss], Loss]]:
    """An entry's attack, and what its `loss` makes of the cross-entropy: by default nothing else."""
    loss = loss_of_entry(entry)
    return build(own_entry(entry)), build(loss) if loss else lambda loss: loss


@dataclass(frozen=True)
class Crafting:
    """What every batch of a set is made with. `model` is the network as it is attacked, maybe one branch of it."""

    attack: LatticeAttack
    loss_transform: Callable[[Loss], Loss]
    network: nn.Module
    model: Model
    seed: int
    precision: Precision
    device: torch.device
    keep: Keep = on_lattice

    def in_precision(self, clips: Tensor) -> Tensor:
        """What the model says, computed in the precision of the gradients."""
        with autocast(self.precision, self.device):
            return self.model(clips)

    def score(self, clips: Tensor, labels: Tensor, draws: Sequence[torch.Generator]) -> Scores:
        """What all clips of the set are evaluated with, and the probe of the audit that asks whether the same model is
        attacked."""
        with drawing(draws):
            return score(self.model, clips, labels)

    def draws(self, videos: Sequence[str], purpose: str = "") -> list[torch.Generator]:
        return clip_generators(self.seed, [video + purpose for video in videos])


def _attack_batches(
    crafting: Crafting,
    data: Clips,
    batch_size: int,
    in_batches: AdaptiveBatchSize,
    folder: Path,
    stop: Callable[[], bool],
) -> list[Path]:
    """The shards of a run in the order of their clips, those of an earlier attempt included.

    Each holds what was attacked at once: a batch, or as much of it as the memory takes.
    """
    missing = missing_rows(len(data), batch_size, finished_rows(folder))
    progress = Progress("attacking", len(data), "clips", start=len(data) - sum(map(len, missing)))
    with Prefetched(data, missing, crafting.device) as prefetched:

        def work(rows: np.ndarray, frames: Tensor, micro_batch: slice) -> None:
            columns = _attack_micro_batch(crafting, data, rows, frames, micro_batch)
            with atomic_write(shard_of(folder, rows[micro_batch])) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
            progress.advance(len(rows[micro_batch]), percent_waiting_for_data=100 * prefetched.fraction_waited())
            if stop():
                LOGGER.info("asked to stop: %d of %d clips are kept", progress.done, len(data))
                raise SystemExit(STOPPED)

        for rows, frames in prefetched:
            in_batches(partial(work, rows, frames), len(rows))
    progress.close()
    return sorted(folder.glob("clips*.npz"))


def _attack_micro_batch(
    crafting: Crafting, data: Clips, rows: np.ndarray, frames: Tensor, micro_batch: slice
) -> Columns:
    """Attacks some clips; returns arrays with one entry for each clip, and their compressed differences."""
    rows, original, attack, device = rows[micro_batch], frames[micro_batch].numpy(), crafting.attack, crafting.device
    videos, labels = [data.videos[row] for row in rows], torch.from_numpy(data.labels[rows]).to(device)
    shown = enlarged(original, margin_of(attack))
    clean = as_clips(shown, device)
    recorded, live, first_step = _attacked(crafting, clean, labels, videos)
    require_finite(videos, "the attacked clips are", live)
    require_finite(videos, "the loss under attack is", *recorded.losses)
    with unchanged_by(attack, live, clean):
        stored, adversarial = crafting.keep(attack, live, clean)
    scores, live_scores, stored_scores = (
        crafting.score(clips, labels, prediction_draws(videos)) for clips in (as_clips(original, device), live, stored)
    )
    evaluated = (scores.losses, live_scores.losses, stored_scores.losses)
    require_finite(videos, "the loss as evaluated is", *map(torch.from_numpy, evaluated))
    gap = model_gap(recorded, partial(crafting.score, draws=crafting.draws(videos[:1], "/transform")))
    measured = recorded_columns(recorded, live_scores, data.labels[rows]) | first_step
    measured |= measured_columns(attack, live, stored, clean) | _compressed(adversarial, shown)
    return measured | {
        "model_gap": gap,
        "goal_reached": goal_reached(recorded, stored_scores.predictions, len(data.classes)),
        "clean_prediction": scores.predictions,
        "live_prediction": live_scores.predictions,
        "stored_prediction": stored_scores.predictions,
        "stored_loss": stored_scores.losses,
        "stored_selection": stored_scores.selections,
    }


def _attacked(
    crafting: Crafting, clean: Tensor, labels: Tensor, videos: Sequence[str]
) -> tuple[RecordedLoss, Tensor, Columns]:
    """The attack's own clips, not on the 8-bit lattice, what its loss saw on the way, and its first step."""
    with attacking(crafting.network), drawing(crafting.draws(videos, "/goal")):
        criterion = goal_of(crafting.attack).criterion(crafting.model, clean, labels)
    noted = NotedLogits(crafting.in_precision)
    recorded = RecordedLoss(noted, labels, criterion)
    precision = precision_of(crafting.attack, crafting.precision)
    # What the source draws while it is attacked is not what it draws when it predicts.
    with (
        attacking(crafting.network, weights_in(crafting.attack, crafting.precision)),
        computing_in(crafting.precision),
        drawing(crafting.draws(videos, "/transform")),
    ):
        first_step = FirstStep(crafting.loss_transform(recorded))
        climbed = GoalLoss(
            climbed=first_step,
            noted=noted,
            exact=crafting.model,
            clips=clean,
            labels=labels,
            goal=goal_of(crafting.attack),
            transform=crafting.loss_transform,
        )
        # A copy: the audit compares with clean clips, whatever an attack writes into its argument.
        live = crafting.attack(climbed, clean.clone(), crafting.draws(videos)).detach()
        with autocast(precision, crafting.device):
            return recorded, live, first_step.columns(live, clean)


def _compressed(adversarial: np.ndarray, clean: np.ndarray) -> Columns:
    """The differences of frames (n, T, H, W, C) to the clean uint8 ones as they will be stored, one after the other."""
    chunks = [compressed_delta(new, old) for new, old in zip(adversarial, clean, strict=True)]
    return {
        "crc32": np.array([zlib.crc32(clip.tobytes()) for clip in adversarial], np.uint32),
        "length": np.array([len(chunk) for chunk in chunks]),
        "chunks": np.frombuffer(b"".join(chunks), np.uint8),
    }


def _stored_scores(columns: Columns) -> Scores:
    return Scores(columns["stored_prediction"], columns["stored_loss"], columns["stored_selection"])


def _write_rows(output: Path, rows: list[dict[str, float]]) -> None:
    with atomic_write(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
