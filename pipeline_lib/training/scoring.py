"""Scoring the weights at the end of an epoch, to select the best epoch as the model."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.clips.loader import Prefetched, as_clips, batches
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize
from pipeline_lib.precision import autocast
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.selection import Scored, Selection
from pipeline_lib.training.task import Task


def scored_batches(
    model: nn.Module,
    task: Task,
    selection: Selection,
    so_far: Scored,
    *,
    batch_size: int,
    stop: Callable[[], bool],
) -> Iterator[tuple[Scored, bool]]:
    """Scores the defense's training inputs (clean clips, examples of its attacks) in eval mode, continuing `so_far`.

    So an adversarially trained model is selected by its adversarial accuracy, as in the authors' code. The attacks draw
    the same random numbers in every epoch. Yields after each batch, which is divided among the processes, the counts
    over all processes and whether any was asked to stop. A batch that does not fit into the memory is halved.
    """
    model.eval()
    rows = list(batches(selection.rows[so_far.rows :], batch_size))
    in_batches = AdaptiveBatchSize(batch_size)
    with Prefetched(selection.clips, map(task.processes.shard, rows), task.device) as data:
        for batch, (shard, frames) in zip(rows, data, strict=True):
            counted = in_batches(partial(_correct, model, task, selection, shard, frames), len(shard))
            correct, count = np.sum([(0, 0), *counted], axis=0)
            correct, count, stops = task.processes.summed([correct, count, float(stop())])
            so_far = Scored(so_far.rows + len(batch), so_far.correct + correct, so_far.examples + count)
            yield so_far, stops > 0


def _correct(
    model: nn.Module, task: Task, selection: Selection, rows: np.ndarray, frames: Tensor, micro_batch: slice
) -> tuple[int, int]:
    """Number of correctly classified examples of some clips, and number of examples."""
    labels = torch.from_numpy(selection.clips.labels[rows[micro_batch]]).to(task.device)
    videos = [selection.clips.videos[row] for row in rows[micro_batch]]
    with torch.no_grad(), autocast(task.settings.precision, task.device):
        clips = as_clips(frames[micro_batch], task.device)
        outcome = task.defense.objective(model, clips, labels, _draws(task.seed, videos))
    return int((outcome.logits.argmax(1) == outcome.labels).sum()), len(outcome.labels)


def _draws(seed: int, videos: list[str]) -> Callable[[str], list[torch.Generator]]:
    return lambda name: clip_generators(seed, [f"selection/{video}/{name}" for video in videos])
