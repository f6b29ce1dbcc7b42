"""Which epoch becomes the model: the last one, or the one most accurate on clips that training does not see."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.clips.loader import ClipSet, Prefetched, as_clips, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize
from pipeline_lib.precision import Precision, autocast
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.training.processes import Processes


class Selection(NamedTuple):
    """The clips that epochs are compared on."""

    clips: ClipSet
    rows: np.ndarray


class Scored(NamedTuple):
    """How far an epoch is scored: the first `rows` clips, with `correct` of the `examples` made of them."""

    rows: int = 0
    correct: float = 0.0
    examples: float = 0.0

    @property
    def accuracy(self) -> float:
        """Percent."""
        return 100 * self.correct / self.examples


def split_rows(clips: Clips, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, both ascending: the last `fraction` of each class by name, at least one.

    Nothing is drawn. Videos of one scene are neighbors by name in UCF101 and HMDB51: they stay on one side, except at
    the edge.
    """
    held: list[int] = []
    for label in np.unique(clips.labels):
        rows: list[int] = sorted(np.flatnonzero(clips.labels == label).tolist(), key=lambda row: clips.videos[row])
        held += rows[len(rows) - max(1, round(fraction * len(rows))) :]
    is_held = np.isin(np.arange(len(clips)), held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def scored_batches(
    network: nn.Module,
    defense: Defense,
    selection: Selection,
    so_far: Scored,
    *,
    precision: Precision,
    batch_size: int,
    seed: int,
    device: torch.device,
    processes: Processes,
    stop: Callable[[], bool],
) -> Iterator[tuple[Scored, bool]]:
    """Scores what the defense trains on (clean clips, examples of its attacks), in eval mode, from where `so_far` ends.

    So the adversarial accuracy selects an adversarially trained model, as in the authors' code. The attacks draw the
    same in every epoch. After each batch, which the processes divide: what all have counted, and whether any of them
    was asked to stop. A batch that is too large for the memory passes in halves.
    """
    network.eval()
    rows = list(batches(selection.rows[so_far.rows :], batch_size))
    in_batches = AdaptiveBatchSize(batch_size)
    with Prefetched(selection.clips, map(processes.shard, rows), device) as data:
        for batch, (shard, frames) in zip(rows, data, strict=True):
            work = partial(_correct, network, defense, selection, shard, frames, precision, seed, device)
            correct, count = np.sum([(0, 0), *in_batches(work, len(shard))], axis=0)
            correct, count, stops = processes.summed([correct, count, float(stop())])
            so_far = Scored(so_far.rows + len(batch), so_far.correct + correct, so_far.examples + count)
            yield so_far, stops > 0


def _correct(
    network: nn.Module,
    defense: Defense,
    selection: Selection,
    rows: np.ndarray,
    frames: Tensor,
    precision: Precision,
    seed: int,
    device: torch.device,
    micro_batch: slice,
) -> tuple[int, int]:
    """How many examples of some clips are classified rightly, of how many."""
    labels = torch.from_numpy(selection.clips.labels[rows[micro_batch]]).to(device)
    videos = [selection.clips.videos[row] for row in rows[micro_batch]]
    with torch.no_grad(), autocast(precision, device):
        clips = as_clips(frames[micro_batch], device)
        outcome = defense.objective(network, clips, labels, _draws(seed, videos))
    return int((outcome.logits.argmax(1) == outcome.labels).sum()), len(outcome.labels)


def _draws(seed: int, videos: list[str]) -> Callable[[str], list[torch.Generator]]:
    return lambda name: clip_generators(seed, [f"selection/{video}/{name}" for video in videos])
