"""Predictions of a model on a set, one row per clip."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.protocols import Model
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import ClipSet, Prefetched, as_clips, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.source import Loaded, Run, Settings, Source
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import atomic_write, run_folder_if_free
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize
from pipeline_lib.networks.bn_selector import record_selections
from pipeline_lib.precision import computing_in, run_metadata
from pipeline_lib.provenance.fingerprints import file_digest
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.records.predictions import Prediction
from pipeline_lib.records.rows import write_rows

KEPT = "scores.npz"


class Scores(NamedTuple):
    """Predicted class and cross-entropy to the true label of each clip, both (N,).

    selections: index of the branch with the largest weight of a selection module; -1 for a network without one.
    """

    predictions: np.ndarray
    losses: np.ndarray
    selections: np.ndarray


def score(model: Model, clips: Tensor, labels: Tensor, draws: Sequence[torch.Generator]) -> Scores:
    """One forward pass without gradients; the loss in fp32. draws: one generator per clip for stochastic transforms."""
    with torch.inference_mode(), drawing(draws), record_selections() as recorded:
        logits = model(clips).float()
        # A logit of -inf for a wrong class gives a finite loss.
        finite = logits.isfinite().all(1)
        losses = F.cross_entropy(logits, labels, reduction="none").where(finite, torch.nan)
    selections = recorded[-1].logits.argmax(1) if recorded else torch.full_like(labels, -1)
    return Scores(logits.argmax(1).cpu().numpy(), losses.cpu().numpy(), selections.cpu().numpy())


def prediction_draws(videos: Sequence[str]) -> list[torch.Generator]:
    """Generators for the random numbers in predictions: functions of the videos' names, independent of the batch."""
    return clip_generators(0, [f"{video}/prediction" for video in videos])


def score_all(model: Model, data: ClipSet, settings: Settings, in_batches: AdaptiveBatchSize) -> Scores:
    """The scores of every clip, in the order of the set."""
    progress = Progress("predicting", len(data), "clips")
    scores: list[Scores] = []
    with Prefetched(data, batches(np.arange(len(data)), settings.batch_size), settings.device) as prefetched:
        for rows, frames in prefetched:
            scores += in_batches(partial(_score_micro_batch, model, data, rows, frames, settings.device), len(rows))
            progress.advance(len(rows), percent_waiting_for_data=100 * prefetched.fraction_waited())
    progress.close()
    return joined(scores)


def _score_micro_batch(
    model: Model, data: ClipSet, rows: np.ndarray, frames: Tensor, device: torch.device, micro_batch: slice
) -> Scores:
    videos, labels = clips_at(data, rows[micro_batch], device)
    return score(model, as_clips(frames[micro_batch], device), labels, prediction_draws(videos))


def clips_at(data: ClipSet, rows: np.ndarray, device: torch.device) -> tuple[list[str], Tensor]:
    """The names and labels (n,) of some clips."""
    return [data.videos[row] for row in rows], torch.from_numpy(data.labels[rows]).to(device)


def joined(scores: Sequence[Scores]) -> Scores:
    """The concatenated scores of consecutive clips."""
    return Scores(*(np.concatenate(columns) for columns in zip(*scores, strict=True)))


def clean_scores(source: Source, loaded: Loaded, data: Clips, settings: Settings, scoring: Run | None) -> Scores | None:
    """A model's scores on all clean clips, as an earlier job has kept them, or computed and kept; None while another
    job computes them. scoring: where they are kept; None if they are not."""
    if scoring is None:
        return None
    entry = {"branch": source.branch, "batch_size": settings.batch_size}
    key = scoring.key(entry, data.checksum, file_digest(source.weights))
    with run_folder_if_free(scoring.folder, key) as folder:
        if folder is None:
            return None
        found = kept_scores(folder / KEPT, len(data))
        if found is None:
            found = score_all(loaded.model, data, settings, settings.batches(loaded.network, data.shape, "predict"))
            with atomic_write(folder / KEPT) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **found._asdict())
        return found


def kept_scores(path: Path, clips: int) -> Scores | None:
    """The scores in a file; None if there is none, or if it is damaged."""
    try:
        with np.load(path) as arrays:
            found = Scores(**{name: arrays[name] for name in Scores._fields})
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged archive may raise anything
        LOGGER.warning("%s is damaged (%s): the clean clips are scored again", path, error)
        return None
    return found if all(len(column) == clips for column in found) else None


def predict(
    source: Source,
    *,
    clips: Path,
    adversarial: Path | None = None,
    scoring: Run | None = None,
    output: Path,
    settings: Settings,
) -> None:
    """Writes a model's predictions on the clean clips, or on an adversarial set made from them. scoring: where scores
    on clean clips are kept."""
    clean = Clips(clips)
    data: ClipSet = AdversarialClips(adversarial, clean) if adversarial else clean
    loaded = source.load(clean.classes, settings.device)
    with computing_in("fp32"):
        kept = None if adversarial else clean_scores(source, loaded, clean, settings, scoring)
        in_batches = settings.batches(loaded.network, clean.shape, "predict")
        scores = kept or score_all(loaded.model, data, settings, in_batches)
        LOGGER.info("predicted with %s", run_metadata("fp32", settings.device))
    require_finite_scores(scores, data.videos, source.weights)
    write_predictions(output, data, scores, loaded.branches)


def require_finite_scores(scores: Scores, videos: Sequence[str], weights: Path) -> None:
    """Raises PipelineError, with the model's file, if a loss is NaN or infinite: such a prediction is invalid."""
    broken = [video for video, loss in zip(videos, scores.losses, strict=True) if not np.isfinite(loss)]
    if broken:
        raise PipelineError(
            f"{weights}: its loss on {len(broken)} of {len(videos)} clips is not finite (NaN or infinite), first "
            f"of {broken[0]}: the network overflows. Train it again with a lower learning rate, or get other weights"
        )


def write_predictions(output: Path, data: ClipSet, scores: Scores, branches: Sequence[str]) -> None:
    """Writes a CSV with one `Prediction` per clip."""
    write_rows(output, Prediction._fields, _predictions(data, scores, branches), number=".6f")


def _predictions(data: ClipSet, scores: Scores, branches: Sequence[str]) -> Iterator[Prediction]:
    columns = (column.tolist() for column in scores)
    for video, label, prediction, loss, selected in zip(data.videos, data.labels.tolist(), *columns, strict=True):
        yield Prediction(video, label, prediction, loss, branches[selected] if selected >= 0 else "")
