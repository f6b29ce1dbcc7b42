"""Feature maps of one clip after a stage of a network, clean and under an attack (MultAV's Fig. 2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_lib.clips.adversarial_store import AdversarialClips, eight_bit
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.facts import unknown_stage
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.features import STEM, pair, target_stages
from pipeline_lib.evaluation.source import Source
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.precision import computing_in
from pipeline_lib.records.feature_maps import FeatureMaps


def write_feature_maps(
    source: Source, *, clips: Path, adversarial: Path, stage: str, clip: int, output: Path, device: torch.device
) -> None:
    """Writes the `FeatureMaps` of a test clip (0 is the first) after a stage of the network, or its stem.

    Raises PipelineError for a stage that the network does not have, or a clip that the split does not have.
    """
    clean = Clips(clips)
    if clip >= len(clean):
        raise PipelineError(f"clip {clip}: there are {len(clean)} test clips, the first one is 0. Choose one of them")
    data, loaded = AdversarialClips(adversarial, clean), source.load(clean.classes, device)
    both = data.read_clean([clip]), data.read([clip])
    with keeping(loaded.network, stage) as kept, computing_in("fp32"):
        original, attacked = (as_clips(frames, device) for frames in both)
        logits = pair(loaded.model, original, attacked, [clean.videos[clip]])
    answers = [clean.classes[label] for label in logits.argmax(1).tolist()]
    frames = np.stack([eight_bit(frames[0]) for frames in both])
    truth = clean.classes[int(clean.labels[clip])]
    found = FeatureMaps(clean.videos[clip], truth, answers, frames, over_time(kept[-1]))
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found._asdict().items()}
    with atomic_write(output) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


@contextmanager
def keeping(network: nn.Module, stage: str) -> Iterator[list[Tensor]]:
    """Inside, every forward pass appends what the stage (or the stem) gives: a copy, as later layers may overwrite."""
    stages = target_stages(network)
    kept: list[Tensor] = []
    if stage == STEM:
        hook = next(iter(stages.values())).register_forward_pre_hook(lambda _, given: kept.append(given[0].clone()))
    elif stage in stages:
        hook = stages[stage].register_forward_hook(lambda _, given, features: kept.append(features.clone()))
    else:
        raise PipelineError(f"stage: {unknown_stage(stage, [STEM, *stages])}")
    try:
        yield kept
    finally:
        hook.remove()


def over_time(features: Tensor) -> np.ndarray:
    """Features (N, C, ..., H, W) as float32 (N, C, times, H, W); those of images have one time."""
    maps = features.float().cpu()
    return (maps if maps.dim() == 5 else maps.unsqueeze(2)).numpy()
