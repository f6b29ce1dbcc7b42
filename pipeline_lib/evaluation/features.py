"""Differences between features of adversarial and clean clips at each stage (Halftone's figure)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.attacks.protocols import Model
from pipeline_lib.clips.adversarial_store import AdversarialClips
from pipeline_lib.clips.loader import Prefetched, as_clips, batches
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.facts import NO_STAGES
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.prediction import prediction_draws
from pipeline_lib.evaluation.source import Settings, Source
from pipeline_lib.jobs.logs import Progress
from pipeline_lib.networks.bn_selector import SelectedNetwork
from pipeline_lib.networks.extension import stages_of
from pipeline_lib.precision import computing_in
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.records.features import StageDifference
from pipeline_lib.records.rows import write_rows

STEM = "stem"
Totals = dict[str, Tensor]
"""By stage, float64 (2,): sums over clips of the mean square difference and of the clean features' mean square."""


def measure_features(source: Source, *, clips: Path, adversarial: Path, output: Path, settings: Settings) -> None:
    """Writes a CSV with one `StageDifference` per stage."""
    clean = Clips(clips)
    data, loaded = AdversarialClips(adversarial, clean), source.load(clean.classes, settings.device)
    totals = Totals()
    progress = Progress("comparing features", len(clean), "clips")
    batched_rows = list(batches(np.arange(len(clean)), max(settings.batch_size // 2, 1)))
    with (
        comparing(loaded.network, totals),
        computing_in("fp32"),
        Prefetched(clean, batched_rows, settings.device) as originals,
        Prefetched(data, batched_rows, settings.device) as changed,
    ):
        for (rows, original), (_, attacked) in zip(originals, changed, strict=True):
            both = as_clips(original, settings.device), as_clips(attacked, settings.device)
            pair(loaded.model, *both, [clean.videos[row] for row in rows])
            progress.advance(len(rows))
    progress.close()
    write_features(output, totals, len(clean))


def pair(model: Model, clean: Tensor, adversarial: Tensor, videos: list[str]) -> Tensor:
    """The logits of clean clips and then their adversarial ones, of one forward pass with the same random numbers for
    both."""
    with torch.inference_mode(), drawing(prediction_draws([*videos, *videos])):
        return model(torch.cat([clean, adversarial]))


def target_stages(network: nn.Module) -> dict[str, nn.Sequential]:
    """The stages of a network, of the target of one that selects. Raises PipelineError for a network without stages."""
    stages = stages_of(network.target if isinstance(network, SelectedNetwork) else network)
    if not stages:
        raise PipelineError(f"features: {NO_STAGES}")
    return stages


@contextmanager
def comparing(network: nn.Module, totals: Totals) -> Iterator[None]:
    """Inside, every forward pass of a `pair` adds to `totals`, beginning with the stem (the first stage's input).

    The values are computed during the pass: a later layer may overwrite the features. Raises PipelineError for a
    network without stages.
    """
    stages = target_stages(network)
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
    write_rows(output, StageDifference._fields, _differences(totals, clips))


def _differences(totals: Totals, clips: int) -> Iterator[StageDifference]:
    for stage, (difference, square) in ((stage, total.tolist()) for stage, total in totals.items()):
        relative = difference / square if square else float("nan")
        yield StageDifference(stage, difference / clips, square / clips, relative)
