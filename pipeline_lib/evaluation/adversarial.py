"""Adversarial sets: every test clip attacked on a source model, stored on disk, with an audit of the attack.

Finished clips are kept in the run folder, from which a killed job continues.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pipeline_lib.attacks.protocols import LossTransform
from pipeline_lib.clips.adversarial_store import write_adversarial
from pipeline_lib.clips.loader import Prefetched
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import loss_of_entry, margin_of, own_entry
from pipeline_lib.entries.storages import storage_of
from pipeline_lib.evaluation.audit import audit_of, trace_rows, with_learned_gradient
from pipeline_lib.evaluation.convergence import settled
from pipeline_lib.evaluation.crafting import Crafting, LabelledClips, attack_clips
from pipeline_lib.evaluation.learning import load_pattern, load_zero_elements
from pipeline_lib.evaluation.prediction import clean_scores, write_predictions
from pipeline_lib.evaluation.shards import (
    attacked_clips,
    compressed_clips,
    finished_rows,
    missing_rows,
    shards_in,
    write_shard,
)
from pipeline_lib.evaluation.shared_runs import attacking_also, run_folders
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.evaluation.storage import KEEP
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import STOPPED, run_folder, stop_requests
from pipeline_lib.jobs.sharing import ShorterRun
from pipeline_lib.models.adaptive_batch_size import AdaptiveBatchSize
from pipeline_lib.precision import computing_in, precision_of, run_metadata
from pipeline_lib.provenance.fingerprints import file_digest
from pipeline_lib.records.audits import Audit, TraceRow
from pipeline_lib.records.rows import write_rows

# Attacks some clips, with their frames; returns what is measured of them, and their compressed differences, if kept.
Measure = Callable[[Crafting, LabelledClips, np.ndarray, np.ndarray], tuple[Any, list[bytes]]]


@dataclass(frozen=True, kw_only=True)
class SetFiles:
    """The files of a set: itself, the source's own (white-box) predictions on the stored clips, the audit (one row) and
    the trace (accuracy and loss of the live clips at each iteration)."""

    adversarial: Path
    predictions: Path
    audit: Path
    trace: Path


def make_adversarial_set(
    attack_entry: dict[str, Any],
    *,
    source: Source,
    clips: Path,
    learned: Path | None = None,
    run: Run,
    settings: Settings,
    outputs: SetFiles,
) -> None:
    """Attacks every clip on the source model and writes `outputs`.

    attack_entry: the fields of an attack, and if given the `loss` that it maximizes and the `storage` of its clips.
    learned: the pattern of an attack that was learned on the source.
    """
    data = Clips(clips)
    crafting = crafting_of(attack_entry, source, data, settings, learned)
    entry = _described(attack_entry, source, crafting)
    files = [source.weights, learned] if learned else [source.weights]
    digests = [data.checksum, *map(file_digest, files)]
    with run_folder(run.folder, run.key(entry, *digests)) as folder, stop_requests() as stop, computing_in("fp32"):
        in_batches = settings.batches(crafting.source.network, data.shape, attack_entry, settings.precision)
        crafting = replace(crafting, scored=clean_scores(source, crafting.source, data, settings, run.scoring))
        others = [_shorter(one, source, crafting, run, digests) for one in run.shorter]
        with run_folders(run.folder, others) as found:
            attack_batches(attacking_also(found) if found else attack_clips, crafting, data, in_batches, folder, stop)
        more = {"seed": settings.seed, "clips_at_once": in_batches.size}
        LOGGER.info("attacked with %s", run_metadata(settings.precision, settings.device, **more))
        _write_set(crafting, data, shards_in(folder), outputs, entry, learned)
        for shard in shards_in(folder):
            shard.unlink()


def _described(attack_entry: dict[str, Any], source: Source, crafting: Crafting) -> dict[str, Any]:
    """What a set is made of, as plain data."""
    settings = crafting.settings
    entry = {"attack": attack_entry, "branch": source.branch, "source": crafting.source.entry, "seed": settings.seed}
    return entry | {"batch_size": settings.batch_size, "precision": settings.precision}


def _shorter(
    shorter: ShorterRun, source: Source, crafting: Crafting, run: Run, digests: Sequence[str]
) -> tuple[str, Path, Crafting]:
    """The key of the run folder of an attack of fewer iterations, the mark of its job, and its crafting."""
    key = replace(run, code=shorter.code).key(_described(shorter.entry, source, crafting), *digests)
    return key, shorter.forced, replace(crafting, attack=build_attack(shorter.entry)[0])


def crafting_of(
    attack_entry: dict[str, Any], source: Source, data: LabelledClips, settings: Settings, learned: Path | None = None
) -> Crafting:
    """What all batches of an attack on a source share."""
    attack, loss_transform = build_attack(attack_entry)
    return Crafting(
        attack=attack.learned(load_pattern(learned, settings.device)) if learned else attack,
        loss_transform=loss_transform,
        source=source.load(data.classes, settings.device),
        settings=settings,
        keep=KEEP[storage_of(attack_entry)],
    )


def build_attack(entry: dict[str, Any]) -> tuple[Any, LossTransform]:
    """An entry's attack, and the loss transform of its `loss`: the identity by default."""
    loss = loss_of_entry(entry)
    return build(own_entry(entry)), build(loss) if loss else lambda loss: loss


def attack_batches(
    attacked: Measure,
    crafting: Crafting,
    data: LabelledClips,
    in_batches: AdaptiveBatchSize,
    folder: Path,
    stop: Callable[[], bool],
) -> None:
    """Attacks the clips that are missing in a run folder. A shard contains the clips attacked at once: a batch, or as
    much of it as fits into the memory."""
    missing = missing_rows(len(data), crafting.settings.batch_size, finished_rows(folder))
    progress = Progress("attacking", len(data), "clips", start=len(data) - sum(map(len, missing)))
    with Prefetched(data, missing, crafting.settings.device) as prefetched:

        def work(rows: np.ndarray, frames: Tensor, micro_batch: slice) -> None:
            found = attacked(crafting, data, rows[micro_batch], frames[micro_batch].numpy())
            write_shard(folder, rows[micro_batch], *found)
            progress.advance(len(rows[micro_batch]), percent_waiting_for_data=100 * prefetched.fraction_waited())
            if stop():
                LOGGER.info("asked to stop: %d of %d clips are kept", progress.done, len(data))
                raise SystemExit(STOPPED)

        for rows, frames in prefetched:
            in_batches(partial(work, rows, frames), len(rows))
    progress.close()


def _write_set(
    crafting: Crafting, data: Clips, shards: list[Path], outputs: SetFiles, entry: dict[str, Any], learned: Path | None
) -> None:
    """Writes the files of a set from its complete shards."""
    attacked, attack = attacked_clips(shards), crafting.attack
    if learned:
        attacked = with_learned_gradient(attacked, load_zero_elements(learned))
    storage = storage_of(entry["attack"])
    chunks = compressed_clips(shards)
    write_adversarial(outputs.adversarial, data, chunks, attacked.crc32, entry, margin_of(attack), storage)
    write_predictions(outputs.predictions, data, attacked.stored, crafting.source.branches)
    precision = precision_of(attack, crafting.settings.precision)
    audit = audit_of(attacked, data.labels, precision)
    write_rows(outputs.audit, Audit._fields, [settled(attack, audit)])
    write_rows(outputs.trace, TraceRow._fields, trace_rows(attacked.trace))
