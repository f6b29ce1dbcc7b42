"""The union of several attacks on one model: each attack only on the clips that no earlier one fools.

A clip counts as correct if and only if it is correct under every attack, as with all attacks on all clips: each clip's
random numbers depend on its name only.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_lib.clips.store import Clips
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.adversarial import attack_batches, crafting_of
from pipeline_lib.evaluation.crafting import score_clips
from pipeline_lib.evaluation.prediction import Scores, write_predictions
from pipeline_lib.evaluation.shards import measured_clips, shards_in
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.jobs.costs import passes
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import run_folder, stop_requests
from pipeline_lib.precision import computing_in
from pipeline_lib.provenance.fingerprints import file_digest


@dataclass(frozen=True, kw_only=True)
class Step:
    """An attack's name and resolved entry, and the branch that it is made on (None: the whole network)."""

    name: str
    entry: dict[str, Any]
    branch: str | None = None


class ChosenClips:
    """Some clips of a store, in the order of `rows`."""

    def __init__(self, data: Clips, rows: np.ndarray) -> None:
        self.data, self.rows = data, rows
        self.labels: np.ndarray = data.labels[rows]
        self.videos = [data.videos[row] for row in rows]
        self.classes, self.shape = data.classes, data.shape

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray:
        """The frames of the clips at these places."""
        return self.data.read(self.rows[np.asarray(rows)], into)


class Union:
    """Each clip's scores under the first attack that fools the model, or else under the last one."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels
        self.predictions, self.losses = labels.copy(), np.full(len(labels), np.nan)
        self.selections = np.full(len(labels), -1)

    def remaining(self) -> np.ndarray:
        """The rows of the clips that are correct so far."""
        return np.flatnonzero(self.predictions == self.labels)

    def offer(self, rows: np.ndarray, scores: Scores) -> None:
        """Scores of clips that are correct so far."""
        self.predictions[rows], self.losses[rows] = scores.predictions, scores.losses
        self.selections[rows] = scores.selections


def make_union(
    steps: Sequence[Step],
    *,
    weights: Path,
    clips: Path,
    clean: Sequence[Path],
    run: Run,
    settings: Settings,
    output: Path,
) -> None:
    """Writes predictions that are correct for the clips that withstand every attack, and correct in all of `clean`.

    clean: predictions without an attack. Each attack is scored on its stored clips, as a set of its own is.
    """
    data = Clips(clips)
    entry: dict[str, Any] = {"steps": [[step.entry, step.branch] for step in steps], "seed": settings.seed}
    entry |= {"batch_size": settings.batch_size, "precision": settings.precision}
    union, counts = Union(data.labels), []
    key = run.key(entry, data.checksum, *map(file_digest, [weights, *clean]))
    with run_folder(run.folder, key) as folder, stop_requests() as stop:
        branches: Sequence[str] = Source(weights=weights).load(data.classes, settings.device).branches
        for path in clean:
            rows = union.remaining()
            union.offer(rows, read_scores(path, ChosenClips(data, rows), branches))
        for number, step in enumerate(steps):
            rows = union.remaining()
            counts.append(len(rows))
            if len(rows):
                source = Source(weights=weights, branch=step.branch)
                part, place = ChosenClips(data, rows), folder / str(number)
                union.offer(rows, scores_under(step, source, part, settings, place, stop))
        log_cost(counts, steps, len(data), data.shape[:3])
        write_predictions(output, data, Scores(union.predictions, union.losses, union.selections), branches)
        for shard in folder.glob("*/clips*.npz"):
            shard.unlink()


def scores_under(
    step: Step, source: Source, part: ChosenClips, settings: Settings, folder: Path, stop: Callable[[], bool]
) -> Scores:
    """The scores of some clips under an attack. Finished clips are kept in the folder."""
    folder.mkdir(exist_ok=True)
    LOGGER.info("attack %s on %d clips", step.name, len(part))
    crafting = crafting_of(step.entry, source, part, settings)
    in_batches = settings.batches(crafting.source.network, part.shape, step.entry, settings.precision)
    with computing_in("fp32"):
        attack_batches(score_clips, crafting, part, in_batches, folder, stop)
    return measured_clips(Scores, shards_in(folder))


def read_scores(path: Path, part: ChosenClips, branches: Sequence[str]) -> Scores:
    """The scores of some clips in a file of predictions. Raises PipelineError if one of them is missing."""
    with path.open(newline="", encoding="utf-8") as file:
        found = {row["video"]: row for row in csv.DictReader(file)}
    missing = [video for video in part.videos if video not in found]
    if missing:
        raise PipelineError(f"{path}: {missing[0]} is missing; delete the file and run again")
    rows = [found[video] for video in part.videos]
    selected = [list(branches).index(row["selected"]) if row.get("selected") else -1 for row in rows]
    predictions, losses = [int(row["prediction"]) for row in rows], [float(row["loss"]) for row in rows]
    return Scores(np.array(predictions, int), np.array(losses, float), np.array(selected, int))


def log_cost(counts: Sequence[int], steps: Sequence[Step], clips: int, shape: Sequence[int]) -> None:
    """A line in the log: clips per attack, and passes (as stated by the attacks' classes), also as a fraction of those
    of all attacks on all clips."""
    costs = [passes(step.entry, shape) - 1 for step in steps]
    spent, every = sum(count * cost for count, cost in zip(counts, costs, strict=True)), clips * sum(costs)
    left = ", ".join(f"{step.name} {count}" for step, count in zip(steps, counts, strict=True))
    words = (
        "union: clips per attack in sequence: %s, of %d; about %d passes, %.0f %% of those of all attacks on all clips"
    )
    LOGGER.info(words, left, clips, spent, 100 * spent / every if every else 100)
