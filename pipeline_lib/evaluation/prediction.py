"""Predictions: what a model says of every clip of a set, one row for each clip."""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.attacks.protocols import Model
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import ClipSet, Prefetched, as_clips, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize, architecture, memory_of
from pipeline_lib.models.trained import check_classes, load_model, view
from pipeline_lib.networks.bn_selector import record_selections
from pipeline_lib.precision import computing_in, run_metadata
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators


class Scores(NamedTuple):
    """Predicted class and cross-entropy to the true label of each clip, both (N,).

    selections: index of the branch that a selection module weighs most; -1 for a network without one.
    """

    predictions: np.ndarray
    losses: np.ndarray
    selections: np.ndarray


def score(model: Model, clips: Tensor, labels: Tensor) -> Scores:
    """One forward pass without gradients; the loss in fp32."""
    with torch.inference_mode(), record_selections() as recorded:
        logits = model(clips).float()
        losses = F.cross_entropy(logits, labels, reduction="none")
    selections = recorded[-1].logits.argmax(1) if recorded else torch.full_like(labels, -1)
    return Scores(logits.argmax(1).cpu().numpy(), losses.cpu().numpy(), selections.cpu().numpy())


def score_videos(model: Model, clips: Tensor, labels: Tensor, videos: Sequence[str]) -> Scores:
    """`score` of a model that may draw random numbers: a function of the video's name, whatever the batch."""
    with drawing(prediction_draws(videos)):
        return score(model, clips, labels)


def prediction_draws(videos: Sequence[str]) -> list[torch.Generator]:
    return clip_generators(0, [f"{video}/prediction" for video in videos])


def score_all(model: Model, data: ClipSet, batch_size: int, device: torch.device, memory: Path | None = None) -> Scores:
    """The scores of every clip, in the order of the set. memory: see `AdaptiveBatchSize`."""
    progress = Progress("predicting", len(data), "clips")
    scores, in_batches = [], AdaptiveBatchSize(batch_size, memory)
    with Prefetched(data, batches(np.arange(len(data)), batch_size), device) as prefetched:
        for rows, frames in prefetched:
            work = partial(_score_micro_batch, model, data, rows, frames, device)
            scores += in_batches(work, len(rows))
            progress.advance(len(rows), percent_waiting_for_data=100 * prefetched.fraction_waited())
    progress.close()
    return joined(scores)


def _score_micro_batch(
    model: Model, data: ClipSet, rows: np.ndarray, frames: Tensor, device: torch.device, micro_batch: slice
) -> Scores:
    labels = torch.from_numpy(data.labels[rows[micro_batch]]).to(device)
    return score_videos(
        model, as_clips(frames[micro_batch], device), labels, [data.videos[row] for row in rows[micro_batch]]
    )


def joined(scores: Sequence[Scores]) -> Scores:
    """The scores of consecutive clips as those of all."""
    return Scores(*(np.concatenate(columns) for columns in zip(*scores, strict=True)))


def predict(
    *,
    weights: Path,
    branch: str | None,
    clips: Path,
    adversarial: Path | None,
    output: Path,
    runs: Path,
    batch_size: int,
    gpu_share: int = 1,
    device: torch.device,
) -> None:
    """Writes a target's predictions on the clean clips, or on an adversarial set made from them. gpu_share: jobs on a
    GPU."""
    clean = Clips(clips)
    data: ClipSet = AdversarialClips(adversarial, clean) if adversarial else clean
    model = load_model(weights, device)
    check_classes(model, clean.classes, weights)
    with computing_in("fp32"):
        memory = memory_of(runs, device, gpu_share, "predict", architecture(model.network), list(clean.shape))
        scores = score_all(view(model.network, branch), data, batch_size, device, memory)
        LOGGER.info("predicted with %s", run_metadata("fp32", device))
    write_predictions(output, data, scores, branches_of(model.network))


def branches_of(network: nn.Module) -> Sequence[str]:
    return getattr(network, "branches", ())


def write_predictions(output: Path, data: ClipSet, scores: Scores, branches: Sequence[str]) -> None:
    """A CSV with the columns video, label, prediction, loss, selected (the branch; empty without a selection)."""
    with atomic_write(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "label", "prediction", "loss", "selected"])
        for video, label, prediction, loss, selected in zip(data.videos, data.labels, *scores, strict=True):
            writer.writerow([video, label, prediction, f"{loss:.6f}", branches[selected] if selected >= 0 else ""])
