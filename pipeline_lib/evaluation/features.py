"""How far adversarial clips are from their clean ones in the features of each stage (Halftone's figure)."""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import Prefetched, as_clips, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Model
from pipeline_lib.entries.facts import NO_STAGES
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import Progress
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.models.trained import check_classes, load_model, view
from pipeline_lib.networks.bn_selector import SelectedNetwork
from pipeline_lib.networks.extension import stages_of
from pipeline_lib.precision import computing_in
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators

STEM = "stem"
Totals = dict[str, Tensor]
"""By stage, float64 (2,): sums over clips of the mean square difference and of the clean features' mean square."""


def measure_features(
    *,
    weights: Path,
    branch: str | None,
    clips: Path,
    adversarial: Path,
    output: Path,
    batch_size: int,
    device: torch.device,
) -> None:
    """Writes a CSV, a row for each stage: stage, mean_square_difference, clean_mean_square, relative (their ratio)."""
    clean = Clips(clips)
    data, model = AdversarialClips(adversarial, clean), load_model(weights, device)
    check_classes(model, clean.classes, weights)
    seen, totals = view(model.network, branch), Totals()
    progress = Progress("comparing features", len(clean), "clips")
    batched_rows = list(batches(np.arange(len(clean)), max(batch_size // 2, 1)))
    with (
        comparing(model.network, totals),
        computing_in("fp32"),
        Prefetched(clean, batched_rows, device) as originals,
        Prefetched(data, batched_rows, device) as changed,
    ):
        for (rows, original), (_, attacked) in zip(originals, changed, strict=True):
            videos = [clean.videos[row] for row in rows]
            pair(seen, as_clips(original, device), as_clips(attacked, device), videos)
            progress.advance(len(rows))
    progress.close()
    write_features(output, totals, len(clean))


def pair(model: Model, clean: Tensor, adversarial: Tensor, videos: list[str]) -> None:
    """One forward pass of clean clips and then their adversarial ones; what a network draws is the same for both."""
    generators = clip_generators(0, [f"{video}/prediction" for video in [*videos, *videos]])
    with torch.inference_mode(), drawing(generators):
        model(torch.cat([clean, adversarial]))


@contextmanager
def comparing(network: nn.Module, totals: Totals) -> Iterator[None]:
    """Inside, every forward pass of a `pair` adds to `totals`, from the stem (what the first stage is given) on.

    The numbers are taken in the pass itself: a later layer may overwrite the features. Raises PipelineError for a
    network without stages.
    """
    stages = stages_of(network.target if isinstance(network, SelectedNetwork) else network)
    if not stages:
        raise PipelineError(f"features: {NO_STAGES}")
    with ExitStack() as hooks:
        first = next(iter(stages.values()))
        hooks.callback(first.register_forward_pre_hook(lambda _, given: add(totals, STEM, given[0])).remove)
        for name, stage in stages.items():
            hooks.callback(stage.register_forward_hook(_adding(totals, name)).remove)
        yield


def _adding(totals: Totals, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    return lambda _, given, features: add(totals, name, features)


def add(totals: Totals, stage: str, features: Tensor) -> None:
    """Adds a batch (2N, ...): N clean clips' features, then those of their adversarial ones."""
    clean, adversarial = features.float().flatten(1).chunk(2)
    squares = torch.stack([(adversarial - clean).square().mean(1), clean.square().mean(1)])
    totals[stage] = totals.get(stage, 0) + squares.double().sum(1).cpu()


def write_features(output: Path, totals: Totals, clips: int) -> None:
    with atomic_write(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "mean_square_difference", "clean_mean_square", "relative"])
        for stage, (difference, square) in ((stage, total.tolist()) for stage, total in totals.items()):
            relative = difference / square if square else float("nan")
            writer.writerow([stage, *(f"{value:.6g}" for value in (difference / clips, square / clips, relative))])
