"""Which epoch becomes the model: the last one, or the one most accurate on clips that training does not see."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.clips.loader import ClipSet, Prefetched, as_clips, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.precision import Precision, autocast
from pipeline_lib.training.processes import Processes


class Selection(NamedTuple):
    """The clips that epochs are compared on."""

    clips: ClipSet
    rows: np.ndarray


def split_rows(clips: Clips, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, both ascending: the last `share` of each class by name, at least one.

    Nothing is drawn. Videos of one scene are neighbors by name in UCF101 and HMDB51: they stay on one side, except at
    the edge.
    """
    held: list[int] = []
    for label in np.unique(clips.labels):
        rows: list[int] = sorted(np.flatnonzero(clips.labels == label).tolist(), key=lambda row: clips.videos[row])
        held += rows[len(rows) - max(1, round(share * len(rows))) :]
    is_held = np.isin(np.arange(len(clips)), held)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def accuracy(
    network: nn.Module,
    defense: Defense,
    selection: Selection,
    *,
    precision: Precision,
    batch_size: int,
    seed: int,
    device: torch.device,
    processes: Processes,
) -> float:
    """Percent right of what the defense trains on (clean clips, examples of its attacks), in eval mode.

    So the adversarial accuracy selects an adversarially trained model, as in the authors' code. The attacks draw the
    same in every epoch.
    """
    network.eval()
    right = count = 0.0
    rows = batches(processes.share(selection.rows), batch_size)
    with Prefetched(selection.clips, rows, device) as data, torch.no_grad(), autocast(precision, device):
        for batch, frames in data:
            labels = torch.from_numpy(selection.clips.labels[batch]).to(device)
            videos = [selection.clips.videos[row] for row in batch]
            outcome = defense.objective(network, as_clips(frames, device), labels, _draws(seed, videos))
            right += (outcome.logits.argmax(1) == outcome.labels).sum().item()
            count += len(outcome.labels)
    right, count = processes.summed([right, count])
    return 100 * right / count


def _draws(seed: int, videos: list[str]) -> Callable[[str], list[torch.Generator]]:
    return lambda name: clip_generators(seed, [f"selection/{video}/{name}" for video in videos])
