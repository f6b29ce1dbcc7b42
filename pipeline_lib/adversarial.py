"""Adversarial sets: every test clip attacked on a source model, cached to disk, with an audit of the attack.

Finished batches stay in the run folder, so that a killed job goes on where it was.
"""

import csv
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.losses import Loss, attacking
from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.audit import (
    LatticeAttack,
    RecordedLoss,
    audit_row,
    measured_columns,
    model_gap,
    recorded_columns,
    trace_rows,
)
from pipeline_lib.clips.adversarial_store import compressed_delta, enlarged, write_adversarial
from pipeline_lib.clips.loader import as_clips, as_frames, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.learning import load_pattern
from pipeline_lib.logs import LOGGER, Progress
from pipeline_lib.modeling import Trained, check_classes, load_model, view
from pipeline_lib.prediction import Scores, branches_of, score, score_videos, write_predictions
from pipeline_lib.provenance import canonical, digest, file_digest
from pipeline_lib.registry import build
from pipeline_lib.runs import STOPPED, replacing, run_folder, stop_requests
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
    adversarial: Path,
    predictions: Path,
    audit: Path,
    trace: Path,
    device: torch.device,
) -> None:
    """Attacks every clip on the source model and writes the set, the source's own (white-box) predictions on the stored
    clips, the audit (one row) and the trace (accuracy and loss of the live clips at each iteration)."""
    data, (attack, climbed) = Clips(clips), build_attack(attack_entry)
    if learned:
        attack = attack.learned(load_pattern(learned, device))
    source = load_model(weights, device)
    check_classes(source, data.classes, weights)
    entry = {"attack": attack_entry, "branch": branch, "source": source.entry, "seed": seed, "batch_size": batch_size}
    patterns = [file_digest(learned)] if learned else []
    key = digest(canonical(entry), code, data.checksum, file_digest(weights), *patterns)
    with run_folder(runs, key) as folder, stop_requests() as stop:
        shards = _attack_batches(attack, climbed, source, branch, data, batch_size, seed, folder, device, stop)
        columns = _columns(shards)
        write_adversarial(adversarial, data, _chunks(shards), columns["crc32"], entry, margin_of(attack))
        scores = Scores(columns["stored_prediction"], columns["stored_loss"], columns["stored_selection"])
        write_predictions(predictions, data, scores, branches_of(source.network))
        _write_rows(audit, [audit_row(columns, data.labels)])
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


def _attack_batches(
    attack: LatticeAttack,
    climbed: Callable[[Loss], Loss],
    source: Trained,
    branch: str | None,
    data: Clips,
    batch_size: int,
    seed: int,
    folder: Path,
    device: torch.device,
    stop: Callable[[], bool],
) -> list[Path]:
    """The finished batches of a run, those of an earlier attempt included."""
    progress = Progress("attacking", len(data), "clips")
    shards = []
    for number, rows in enumerate(batches(np.arange(len(data)), batch_size)):
        shards.append(folder / f"batch{number:05d}.npz")
        if not shards[-1].exists():
            with replacing(shards[-1]) as temporary, temporary.open("wb") as file:
                np.savez(
                    file, allow_pickle=False, **_attack_batch(attack, climbed, source, branch, data, rows, seed, device)
                )
        progress.advance(len(rows))
        if stop():
            LOGGER.info("asked to stop: %d of %d clips are kept", progress.done, len(data))
            raise SystemExit(STOPPED)
    progress.close()
    return shards


def _attack_batch(
    attack: LatticeAttack,
    climbed: Callable[[Loss], Loss],
    source: Trained,
    branch: str | None,
    data: Clips,
    rows: np.ndarray,
    seed: int,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Attacks some clips; returns arrays with one entry for each clip, and their compressed differences."""
    model = view(source.network, branch)
    original, videos = data.read(rows), [data.videos[row] for row in rows]
    frames, labels = enlarged(original, margin_of(attack)), torch.from_numpy(data.labels[rows]).to(device)
    clean = as_clips(frames, device)
    draws = partial(clip_generators, seed, device=device)
    with attacking(source.network), drawing(draws([f"{video}/goal" for video in videos])):
        recorded = RecordedLoss(model, labels, goal_of(attack).criterion(model, clean, labels))
    # What the source draws while it is attacked is not what it draws when it predicts.
    with attacking(source.network), drawing(draws([f"{video}/transform" for video in videos])):
        live = attack(climbed(recorded), clean, clip_generators(seed, videos, device)).detach()
    stored = attack.quantize(live, clean)
    shown = (as_clips(original, device), live, stored)
    scores, live_scores, stored_scores = (score_videos(model, clips, labels, videos) for clips in shown)
    adversarial = as_frames(stored)
    chunks = [compressed_delta(new, old) for new, old in zip(adversarial, frames, strict=True)]
    with drawing(draws([f"{videos[0]}/transform"])):
        gap = model_gap(recorded, partial(score, model))
    measured = recorded_columns(recorded, live_scores, data.labels[rows])
    measured |= measured_columns(attack, live, stored, clean)
    return measured | {
        "model_gap": gap,
        "clean_prediction": scores.predictions,
        "live_prediction": live_scores.predictions,
        "stored_prediction": stored_scores.predictions,
        "stored_loss": stored_scores.losses,
        "stored_selection": stored_scores.selections,
        "crc32": np.array([zlib.crc32(clip.tobytes()) for clip in adversarial], np.uint32),
        "length": np.array([len(chunk) for chunk in chunks]),
        "chunks": np.frombuffer(b"".join(chunks), np.uint8),
    }


def _columns(shards: Iterable[Path]) -> dict[str, np.ndarray]:
    """The arrays of all batches, joined; without the compressed clips."""
    parts = [_without_chunks(shard) for shard in shards]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _without_chunks(shard: Path) -> dict[str, np.ndarray]:
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
