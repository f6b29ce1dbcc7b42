"""Adversarial sets: every test clip attacked on a source model, cached to disk, with an audit of the attack.

Finished batches stay in the run folder, so that a killed job goes on where it was.
"""

import csv
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.goals import goal_of
from pipeline_lib.attacks.losses import Criterion, attacking
from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.clips.adversarial_store import compressed_delta, write_adversarial
from pipeline_lib.clips.loader import as_clips, as_frames, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Attack, Model
from pipeline_lib.logs import LOGGER, Progress
from pipeline_lib.modeling import Trained, check_classes, load_model, view
from pipeline_lib.prediction import Scores, branches_of, score, write_predictions
from pipeline_lib.provenance import canonical, digest, file_digest
from pipeline_lib.registry import build
from pipeline_lib.runs import STOPPED, replacing, run_folder, stop_requests


class LatticeAttack(Attack, Protocol):
    """An attack that can end on the 8-bit lattice inside its bound, and say how much of the bound it uses."""

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor: ...

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor: ...


@dataclass
class RecordedLoss:
    """A criterion of the logits, by default cross-entropy to the true labels, that notes what it sees: cross-entropies
    and right answers of each call that takes a gradient, or of the first call if none does (not of clips that an attack
    only tries), and whether the first gradient vanishes. Recording costs no further pass."""

    model: Model
    labels: Tensor
    criterion: Criterion | None = None
    losses: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)
    zero_gradient: Tensor | None = None
    climbing: bool = False

    def __call__(self, clips: Tensor) -> Tensor:
        logits = self.model(clips).float()
        losses = F.cross_entropy(logits, self.labels, reduction="none")
        if clips.requires_grad and not self.climbing:
            self.climbing = True
            # What an attack tried before its first gradient is no iterate.
            self.losses, self.right = [], []
            clips.register_hook(self._note_gradient)
        if not self.losses or clips.requires_grad:
            self.losses.append(losses.detach())
            self.right.append(logits.detach().argmax(1) == self.labels)
        return losses if self.criterion is None else self.criterion(logits)

    def _note_gradient(self, gradient: Tensor) -> None:
        self.zero_gradient = (gradient == 0).flatten(1).all(1)


def make_adversarial_set(
    attack_entry: dict[str, Any],
    *,
    weights: Path,
    branch: str | None,
    clips: Path,
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
    data, attack = Clips(clips), build(attack_entry)
    source = load_model(weights, device)
    check_classes(source, data.classes, weights)
    entry = {"attack": attack_entry, "branch": branch, "source": source.entry, "seed": seed, "batch_size": batch_size}
    key = digest(canonical(entry), code, data.checksum, file_digest(weights))
    with run_folder(runs, key) as folder, stop_requests() as stop:
        shards = _attack_batches(attack, source, branch, data, batch_size, seed, folder, device, stop)
        columns = _columns(shards)
        write_adversarial(adversarial, data, _chunks(shards), columns["crc32"], entry)
        scores = Scores(columns["stored_prediction"], columns["stored_loss"], columns["stored_selection"])
        write_predictions(predictions, data, scores, branches_of(source.network))
        _write_rows(audit, [_audit(columns, data.labels)])
        _write_rows(trace, _trace(columns))
        for shard in shards:
            shard.unlink()


def _attack_batches(
    attack: LatticeAttack,
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
                np.savez(file, allow_pickle=False, **_attack_batch(attack, source, branch, data, rows, seed, device))
        progress.advance(len(rows))
        if stop():
            LOGGER.info("asked to stop: %d of %d clips are kept", progress.done, len(data))
            raise SystemExit(STOPPED)
    progress.close()
    return shards


def _attack_batch(
    attack: LatticeAttack,
    source: Trained,
    branch: str | None,
    data: Clips,
    rows: np.ndarray,
    seed: int,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Attacks some clips; returns arrays with one entry for each clip, and their compressed differences."""
    model = view(source.network, branch)
    frames = data.read(rows)
    clean, labels = as_clips(frames, device), torch.from_numpy(data.labels[rows]).to(device)
    with attacking(source.network):
        recorded = RecordedLoss(model, labels, goal_of(attack).criterion(model, clean, labels))
        live = attack(recorded, clean, clip_generators(seed, [data.videos[row] for row in rows], device)).detach()
    stored = attack.quantize(live, clean)
    live_scores, stored_scores = score(model, live, labels), score(model, stored, labels)
    adversarial = as_frames(stored)
    chunks = [compressed_delta(new, old) for new, old in zip(adversarial, frames, strict=True)]
    return _recorded(recorded, live_scores, data.labels[rows]) | {
        "clean_prediction": score(model, clean, labels).predictions,
        "live_prediction": live_scores.predictions,
        "stored_prediction": stored_scores.predictions,
        "stored_loss": stored_scores.losses,
        "stored_selection": stored_scores.selections,
        "bound_ratio": attack.ratio_to_bound(stored, clean).cpu().numpy(),
        "crc32": np.array([zlib.crc32(clip.tobytes()) for clip in adversarial], np.uint32),
        "length": np.array([len(chunk) for chunk in chunks]),
        "chunks": np.frombuffer(b"".join(chunks), np.uint8),
    }


def _recorded(recorded: RecordedLoss, final: Scores, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Loss and right answer (n, T + 1) from the start to the final live clip, and the zero gradients (n,)."""
    losses = [*(loss.cpu().numpy() for loss in recorded.losses), final.losses]
    right = [*(answer.cpu().numpy() for answer in recorded.right), final.predictions == labels]
    zero = recorded.zero_gradient
    return {
        "trace_loss": np.stack(losses, 1),
        "trace_right": np.stack(right, 1),
        "zero_gradient": np.zeros(len(labels), bool) if zero is None else zero.cpu().numpy(),
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


def _audit(columns: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """One row of facts about an attack; shares from 0 to 1, accuracies in percent."""

    def accuracy(name: str) -> float:
        return float((columns[name] == labels).mean() * 100)

    return {
        "clips": len(labels),
        "zero_gradients": float(columns["zero_gradient"].mean()),
        "start_loss": float(columns["trace_loss"][:, 0].mean()),
        "end_loss": float(columns["trace_loss"][:, -1].mean()),
        "changed_predictions": float((columns["stored_prediction"] != columns["clean_prediction"]).mean()),
        "bound_ratio": float(columns["bound_ratio"].max()),
        "clean_accuracy": accuracy("clean_prediction"),
        "live_accuracy": accuracy("live_prediction"),
        "stored_accuracy": accuracy("stored_prediction"),
    }


def _trace(columns: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """Accuracy (percent) and mean loss of the live clips after each number of iterations, 0 (the start) to T."""
    accuracy, loss = columns["trace_right"].mean(0) * 100, columns["trace_loss"].mean(0)
    return [
        {"step": t, "accuracy": float(a), "loss": float(x)} for t, (a, x) in enumerate(zip(accuracy, loss, strict=True))
    ]


def _write_rows(output: Path, rows: list[dict[str, float]]) -> None:
    with replacing(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
