"""Universal attacks: a pattern is learned once for a model, on training clips, and applied to all test clips."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.attacks.protocols import Learning, Model, Universal
from pipeline_lib.clips.adversarial_store import enlarged
from pipeline_lib.clips.loader import as_clips, batch_of
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import margin_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.prediction import clips_at
from pipeline_lib.evaluation.source import Run, Source
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import SAVE_EVERY_SECONDS, STOPPED, publish, run_folder, stop_requests
from pipeline_lib.models import checkpoint
from pipeline_lib.precision import computing_in
from pipeline_lib.provenance.fingerprints import file_digest
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators

LEARN_AGAIN = "snakemake --forcerun learn learns again"
NO_PATTERN = f"not a learned pattern of this pipeline, or cut off. {checkpoint.REMAKE}"


def learn_attack(
    attack_entry: dict[str, Any],
    *,
    source: Source,
    clips: Path,
    run: Run,
    seed: int,
    output: Path,
    device: torch.device,
) -> None:
    """Learns an attack's pattern on a source and publishes it; an interrupted run continues after its last save."""
    data, attack = Clips(clips), build(attack_entry)
    loaded = source.load(data.classes, device)
    entry = {"attack": attack_entry, "branch": source.branch, "seed": seed}
    key = run.key(entry, data.checksum, file_digest(source.weights))
    with run_folder(run.folder, key) as folder, stop_requests() as stop:
        with attacking(loaded.network), computing_in("fp32"):
            learn(attack, loaded.model, data, seed, folder / "state.pt", device, stop)
        publish(folder / "state.pt", output)


def learn(
    attack: Universal,
    model: Model,
    data: Clips,
    seed: int,
    state: Path,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Maximizes the mean cross-entropy over the pattern. The file `state` contains it at intervals and after the last
    step, with the fraction of zeros in the first gradient.

    A stochastic transform in the model has new random numbers for each video at each step.
    """
    learned, margin = new_pattern(attack, data, device), margin_of(attack)
    learned.restore(state)
    if learned.done == learned.total:
        LOGGER.info("nothing is learned: %s was kept by an earlier run of the same work; %s", state, LEARN_AGAIN)
    progress = Progress("learning", learned.total, "batches", start=learned.done)
    saved = time.monotonic()
    for number in range(learned.done, learned.total):
        rows = learned.rows(number, seed)
        (videos, labels), draws = clips_at(data, rows, device), f"/transform/{number}"
        shown = attack.show(learned.pattern, as_clips(enlarged(data.read(rows), margin), device))
        with drawing(clip_generators(seed, [video + draws for video in videos])):
            # Without a path back to the pattern (a detached transform) the gradient is zero instead of an error.
            (cross_entropy(model, labels)(shown).mean() + 0 * learned.pattern.sum()).backward()
        gradient = finite_gradient(learned.pattern, number)
        if number == 0:
            learned.zero_elements = zero_elements(attack, learned.pattern, gradient, shown.detach())
        learned.step()
        progress.advance(1, epoch=number // learned.per_epoch + 1)
        last, stopping = learned.done == learned.total, stop()
        if last or stopping or time.monotonic() - saved > SAVE_EVERY_SECONDS:
            learned.save(state)
            saved = time.monotonic()
        if stopping and not last:
            LOGGER.info("asked to stop after %d of %d batches", learned.done, learned.total)
            raise SystemExit(STOPPED)
    progress.close()


def new_pattern(attack: Universal, data: Clips, device: torch.device) -> "LearnedPattern":
    """An attack's initial pattern for these clips, with its optimizer and schedule."""
    frames, height, width, channels = data.shape
    around = 2 * margin_of(attack)
    pattern = attack.pattern((channels, frames, height + around, width + around)).to(device)
    return LearnedPattern(pattern, getattr(attack, attack.learned_by), len(data))


class LearnedPattern:
    """A pattern with its optimizer and schedule, after `done` of `total` batches of `clips` clips.

    zero_elements: the fraction of its first gradient that was zero.
    """

    def __init__(self, pattern: Tensor, how: Learning, clips: int) -> None:
        self.pattern, self.how, self.clips = pattern.requires_grad_(), how, clips
        self.optimizer = torch.optim.Adam([self.pattern], how.learning_rate, maximize=True)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, how.decay_every, how.decay)
        self.per_epoch = -(-clips // how.batch_size)
        self.done, self.total, self.zero_elements = 0, how.epochs * self.per_epoch, 0.0

    def rows(self, number: int, seed: int) -> np.ndarray:
        """The clips of a batch."""
        size = self.how.batch_size
        return batch_of(number, steps_per_epoch=self.per_epoch, count=self.clips, size=size, seed=seed)

    def step(self) -> None:
        """One step along the gradient, which is then cleared."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1
        if self.done % self.per_epoch == 0:
            self.schedule.step()

    def save(self, state: Path) -> None:
        facts = {"steps": self.done, "zero_elements": self.zero_elements}
        tensors = {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        checkpoint.write(state, {"pattern": self.pattern.detach()} | tensors | facts)

    def restore(self, state: Path) -> None:
        """Continues from the file written by `save`, if there is one."""
        if not state.exists():
            return
        try:
            saved = checkpoint.read(state, NO_PATTERN)
        except PipelineError as error:
            LOGGER.warning("the saved pattern cannot be used, it is learned again: %s", error)
            return
        self.pattern.data.copy_(saved["pattern"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.done, self.zero_elements = saved["steps"], saved["zero_elements"]


def zero_elements(attack: Universal, pattern: Tensor, gradient: Tensor, clips: Tensor) -> float:
    """The fraction of zeros in a pattern's gradient, among the elements that are visible in the clips."""
    (reach,) = torch.autograd.grad(attack.show(pattern, clips).sum(), pattern)
    return (gradient[reach != 0] == 0).float().mean().item()


def finite_gradient(pattern: Tensor, number: int) -> Tensor:
    """The pattern's gradient at a batch. Raises PipelineError if it is not finite."""
    if pattern.grad is None or not pattern.grad.isfinite().all():
        raise PipelineError(
            f"learning, batch {number + 1}: the gradient is not finite, the network or its loss overflows; the last "
            "saved pattern is kept"
        )
    return pattern.grad


def load_pattern(path: Path, device: torch.device) -> Tensor:
    return _facts(path)["pattern"].to(device)


def load_zero_elements(path: Path) -> float:
    """The fraction of zeros in the first gradient of a pattern's learning."""
    return _facts(path)["zero_elements"]


def _facts(path: Path) -> dict[str, Any]:
    """The content of a learned pattern's file. Raises PipelineError if it is damaged, foreign or not finite."""
    facts = checkpoint.read(path, NO_PATTERN)
    if not isinstance(facts, dict) or not {"pattern", "zero_elements"} <= set(facts):
        raise PipelineError(f"{path}: {NO_PATTERN}")
    checkpoint.check_finite({"pattern": facts["pattern"]}, path)
    return facts
