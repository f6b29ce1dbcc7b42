"""Adversarial sets: every test clip attacked on a source model, cached to disk, with an audit of the attack.

Finished batches stay in the run folder, so that a killed job goes on where it was.
"""

import csv
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.losses import Loss, attacking
from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.clips.adversarial_store import compressed_delta, enlarged, write_adversarial
from pipeline_lib.clips.loader import Prefetched, as_clips, as_frames, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Model
from pipeline_lib.evaluation.audit import (
    Columns,
    LatticeAttack,
    RecordedLoss,
    audit_row,
    measured_columns,
    model_gap,
    recorded_columns,
    trace_rows,
)
from pipeline_lib.evaluation.fitting import Fitting, architecture, memory_of
from pipeline_lib.evaluation.learning import load_pattern
from pipeline_lib.evaluation.prediction import Scores, branches_of, score, score_videos, write_predictions
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import STOPPED, replacing, run_folder, stop_requests
from pipeline_lib.modeling import check_classes, load_model, view
from pipeline_lib.precision import Precision, autocast, computing_in, stated
from pipeline_lib.provenance import canonical, digest, file_digest
from pipeline_lib.registry import build
from pipeline_lib.transforms.drawing import drawing


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
    adversarial: Path,
    predictions: Path,
    audit: Path,
    trace: Path,
    device: torch.device,
) -> None:
    """Attacks every clip on the source model and writes the set, the source's own (white-box) predictions on the stored
    clips, the audit (one row) and the trace (accuracy and loss of the live clips at each iteration).

    precision: what the attack computes its gradients in; clips are always scored in fp32."""
    data, (attack, climbed) = Clips(clips), build_attack(attack_entry)
    if learned:
        attack = attack.learned(load_pattern(learned, device))
    source = load_model(weights, device)
    check_classes(source, data.classes, weights)
    entry = {"attack": attack_entry, "branch": branch, "source": source.entry, "seed": seed, "batch_size": batch_size}
    entry |= {"precision": precision}
    patterns = [file_digest(learned)] if learned else []
    key = digest(canonical(entry), code, data.checksum, file_digest(weights), *patterns)
    with run_folder(runs, key) as folder, stop_requests() as stop:
        crafting = Crafting(attack, climbed, source.network, view(source.network, branch), seed, precision, device)
        work = attack_entry, precision, architecture(source.network), list(data.shape)
        fitting = Fitting(batch_size, memory_of(runs.with_name("fitting"), device, *work))
        with computing_in("fp32"):
            shards = _attack_batches(crafting, data, batch_size, fitting, folder, stop)
        LOGGER.info("attacked with %s", stated(precision, device, seed=seed, clips_at_once=fitting.size))
        columns = _columns(shards)
        write_adversarial(adversarial, data, _chunks(shards), columns["crc32"], entry, margin_of(attack))
        scores = Scores(columns["stored_prediction"], columns["stored_loss"], columns["stored_selection"])
        write_predictions(predictions, data, scores, branches_of(source.network))
        _write_rows(audit, [audit_row(columns, data.labels, _coarser(precision, attack))])
        _write_rows(trace, trace_rows(columns))
        for shard in shards:
            shard.unlink()


def build_attack(entry: dict[str, Any]) -> tuple[Any, Callable[[Loss], Loss]]:
    """An entry's attack, and what its `loss` makes of the cross-entropy: by default nothing else."""
    own = {key: value for key, value in entry.items() if key != "loss"}
    return build(own), build(entry["loss"]) if "loss" in entry else lambda loss: loss


def margin_of(attack: LatticeAttack) -> int:
    """How many pixels an attack adds on each side of the picture."""
    return getattr(attack, "margin", 0)


@dataclass(frozen=True)
class Crafting:
    """What every batch of a set is made with. `model` is the network as it is attacked, maybe one branch of it."""

    attack: LatticeAttack
    climbed: Callable[[Loss], Loss]
    network: nn.Module
    model: Model
    seed: int
    precision: Precision
    device: torch.device

    def in_precision(self, clips: Tensor) -> Tensor:
        """What the model says, computed in the precision of the gradients."""
        with autocast(self.precision, self.device):
            return self.model(clips)

    def draws(self, videos: Sequence[str], purpose: str = "") -> list[torch.Generator]:
        return clip_generators(self.seed, [video + purpose for video in videos])


def _attack_batches(
    crafting: Crafting, data: Clips, batch_size: int, fitting: Fitting, folder: Path, stop: Callable[[], bool]
) -> list[Path]:
    """The finished batches of a run, those of an earlier attempt included."""
    parts = list(batches(np.arange(len(data)), batch_size))
    shards = [folder / f"batch{number:05d}.npz" for number in range(len(parts))]
    missing = [(rows, shard) for rows, shard in zip(parts, shards, strict=True) if not shard.exists()]
    done = len(data) - sum(len(rows) for rows, _ in missing)
    progress = Progress("attacking", len(data), "clips", start=done)
    with Prefetched(data, (rows for rows, _ in missing), crafting.device) as prefetched:
        for (_, shard), (rows, frames) in zip(missing, prefetched, strict=True):
            work = partial(_attack_part, crafting, data, rows, frames)
            with replacing(shard) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **_joined(fitting(work, len(rows))))
            progress.advance(len(rows), percent_waiting_for_data=100 * prefetched.share_waited())
            if stop():
                LOGGER.info("asked to stop: %d of %d clips are kept", progress.done, len(data))
                raise SystemExit(STOPPED)
    progress.close()
    return shards


def _attack_part(crafting: Crafting, data: Clips, rows: np.ndarray, frames: Tensor, part: slice) -> Columns:
    """Attacks some clips; returns arrays with one entry for each clip, and their compressed differences."""
    rows, original, attack, device = rows[part], frames[part].numpy(), crafting.attack, crafting.device
    videos, labels = [data.videos[row] for row in rows], torch.from_numpy(data.labels[rows]).to(device)
    shown = enlarged(original, margin_of(attack))
    clean = as_clips(shown, device)
    recorded, live = _attacked(crafting, clean, labels, videos)
    stored = attack.quantize(live, clean)
    scores, live_scores, stored_scores = (
        score_videos(crafting.model, clips, labels, videos) for clips in (as_clips(original, device), live, stored)
    )
    with drawing(crafting.draws(videos[:1], "/transform")):
        gap = model_gap(recorded, partial(score, crafting.model))
    measured = recorded_columns(recorded, live_scores, data.labels[rows])
    measured |= measured_columns(attack, live, stored, clean) | _compressed(as_frames(stored), shown)
    return measured | {
        "model_gap": gap,
        "clean_prediction": scores.predictions,
        "live_prediction": live_scores.predictions,
        "stored_prediction": stored_scores.predictions,
        "stored_loss": stored_scores.losses,
        "stored_selection": stored_scores.selections,
    }


def _attacked(crafting: Crafting, clean: Tensor, labels: Tensor, videos: Sequence[str]) -> tuple[RecordedLoss, Tensor]:
    """The attack's own clips, not yet on the 8-bit lattice, and what its loss saw on the way."""
    with attacking(crafting.network), drawing(crafting.draws(videos, "/goal")):
        criterion = goal_of(crafting.attack).criterion(crafting.model, clean, labels)
    recorded = RecordedLoss(crafting.in_precision, labels, criterion)
    # What the source draws while it is attacked is not what it draws when it predicts.
    with (
        attacking(crafting.network),
        computing_in(crafting.precision),
        drawing(crafting.draws(videos, "/transform")),
    ):
        live = crafting.attack(crafting.climbed(recorded), clean, crafting.draws(videos)).detach()
    return recorded, live


def _compressed(adversarial: np.ndarray, clean: np.ndarray) -> Columns:
    """The differences of uint8 clips (n, T, H, W, C) as they will be stored, one after the other."""
    chunks = [compressed_delta(new, old) for new, old in zip(adversarial, clean, strict=True)]
    return {
        "crc32": np.array([zlib.crc32(clip.tobytes()) for clip in adversarial], np.uint32),
        "length": np.array([len(chunk) for chunk in chunks]),
        "chunks": np.frombuffer(b"".join(chunks), np.uint8),
    }


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _coarser(precision: Precision, attack: object) -> Precision:
    """Of the run's precision and the attack's own, which may be that of the attack inside of it."""
    while hasattr(attack, "attack"):
        attack = attack.attack
    return "bf16" if getattr(attack, "precision", precision) == "bf16" else precision


def _columns(shards: Iterable[Path]) -> Columns:
    """The arrays of all batches, joined; without the compressed clips."""
    return _joined([_without_chunks(shard) for shard in shards])


def _without_chunks(shard: Path) -> Columns:
    with np.load(shard) as arrays:
        return {name: arrays[name] for name in arrays.files if name not in ("chunks", "length")}


def _chunks(shards: Iterable[Path]) -> Iterable[bytes]:
    for shard in shards:
        with np.load(shard) as arrays:
            joined, ends = arrays["chunks"].tobytes(), np.cumsum(arrays["length"])
        yield from (joined[end - length : end] for end, length in zip(ends, np.diff(ends, prepend=0), strict=True))


def _write_rows(output: Path, rows: list[dict[str, float]]) -> None:
    with replacing(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
