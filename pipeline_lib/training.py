"""One training loop for every defense. It resumes after a kill and ends with the same bytes as without one.

Everything random is drawn from (seed, step, video), so a checkpoint needs no generator state.
"""

import csv
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.clips.augmentation import Augmentation, Unchanged
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Defense, Objective
from pipeline_lib.errors import PipelineError
from pipeline_lib.logs import LOGGER, Progress
from pipeline_lib.modeling import new_network, parameter_count, start_from
from pipeline_lib.models import checkpoint
from pipeline_lib.provenance import canonical, digest, file_digest
from pipeline_lib.registry import build
from pipeline_lib.runs import STOPPED, publish, replacing, run_folder, stop_requests
from pipeline_lib.schedules import Schedule

SAVE_EVERY_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """Stochastic gradient descent as the papers use it; incomplete last batches are dropped.

    augmentation: what happens to the clean clips before anything else, attacks included; the papers: nothing.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    momentum: float = 0.9
    weight_decay: float = 1e-5
    augmentation: Augmentation = field(default_factory=Unchanged)


@dataclass
class State:
    """What a checkpoint holds: the next step, and the epochs so far (the last one may be unfinished)."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    epochs: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        rest = {"optimizer": self.optimizer.state_dict(), "step": self.step, "epochs": self.epochs}
        checkpoint.save(path, self.network, entry={}, **rest)

    def restore(self, path: Path) -> None:
        content = checkpoint.load(path)
        self.network.load_state_dict(content["state"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.epochs = content["step"], content["epochs"]


def train_model(
    entry: dict[str, Any],
    *,
    clips: Path,
    initial: Path | None,
    runs: Path,
    code: str,
    weights: Path,
    history: Path,
    device: torch.device,
) -> None:
    """Trains the model of an entry and publishes its weights and its history.

    The run folder below `runs` is keyed by everything that the result depends on. It keeps the finished model, so that
    coming back to an earlier configuration costs nothing.
    """
    data = Clips(clips)
    origin = file_digest(initial) if initial else ""
    key = digest(canonical(entry), code, data.checksum, origin)
    with run_folder(runs, key) as folder, stop_requests() as stop:
        final = folder / "final.pt"
        if not final.exists():
            network, defense = new_network(entry, len(data.classes))
            if initial:
                start_from(network, initial)
            settings = build(entry["training"] | {"method": "pipeline_lib.training:Training"})
            epochs = train(
                network.to(device), defense, data, settings, seed=entry["seed"], folder=folder, device=device, stop=stop
            )
            count = parameter_count(network)
            checkpoint.save(final, network, entry=entry, classes=data.classes, epochs=epochs, parameters=count)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        publish(final, weights)
        content = checkpoint.load(final)
        write_history(content["epochs"], content["parameters"], history)


def train(
    network: nn.Module,
    defense: Defense,
    clips: Clips,
    settings: Training,
    *,
    seed: int,
    folder: Path,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, float]]:
    """Trains `network` in place and returns one row of figures for each epoch.

    `folder` holds the checkpoint that an interrupted run continues from; `stop` is asked after every step.

    Raises:
        PipelineError: fewer clips than a batch, or a loss that is not finite (the last checkpoint stays).
        SystemExit: 143, after saving, when `stop` says so.
    """
    optimizer = torch.optim.SGD(
        network.parameters(), lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    state, path = State(network, optimizer), folder / "checkpoint.pt"
    if path.exists():
        state.restore(path)
        LOGGER.info("continuing at step %d from %s", state.step, path)
    per_epoch = _steps_per_epoch(clips, settings)
    with _progress(state.step, settings, per_epoch) as progress:
        saved = time.monotonic()
        while state.step < settings.epochs * per_epoch:
            figures = _step(state, defense, clips, settings, per_epoch, seed, device)
            progress.advance(settings.batch_size, **figures)
            if state.step % per_epoch == 0 or stop() or time.monotonic() - saved > SAVE_EVERY_SECONDS:
                state.save(path)
                saved = time.monotonic()
            if stop():
                LOGGER.info("asked to stop: saved step %d", state.step)
                raise SystemExit(STOPPED)
    return state.epochs


def _steps_per_epoch(clips: Clips, settings: Training) -> int:
    if len(clips) < settings.batch_size:
        raise PipelineError(f"training.batch_size is {settings.batch_size}, but there are only {len(clips)} clips")
    return len(clips) // settings.batch_size


@contextmanager
def _progress(step: int, settings: Training, per_epoch: int) -> Iterator[Progress]:
    total = settings.epochs * per_epoch * settings.batch_size
    progress = Progress("training", total, "clips", start=step * settings.batch_size)
    try:
        yield progress
    finally:
        progress.close()


def _step(
    state: State, defense: Defense, clips: Clips, settings: Training, per_epoch: int, seed: int, device: torch.device
) -> dict[str, float]:
    """One optimizer step; returns the epoch's figures so far."""
    epoch, batch = divmod(state.step, per_epoch)
    rate = settings.learning_rate * settings.schedule(state.step / per_epoch, settings.epochs)
    rows = _order(seed, epoch, len(clips))[batch * settings.batch_size : (batch + 1) * settings.batch_size]
    videos = as_clips(clips.read(rows), device)
    labels = torch.from_numpy(clips.labels[rows]).to(device)

    def draw(name: str) -> list[torch.Generator]:
        return clip_generators(seed, [f"{state.step}/{clips.videos[row]}/{name}" for row in rows], device)

    state.network.train()
    augmented = settings.augmentation(videos, draw("augmentation"))
    outcome = defense.objective(state.network, augmented, labels, draw)
    _check_finite(outcome, epoch, state.step)
    _descend(state.optimizer, outcome, rate)
    state.step += 1
    return _account(state.epochs, epoch, batch, outcome, rate)


def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _check_finite(outcome: Objective, epoch: int, step: int) -> None:
    if not math.isfinite(outcome.loss.item()):
        raise PipelineError(
            f"the training loss is {outcome.loss.item()} in epoch {epoch + 1}, step {step}: lower the learning rate; "
            "the last good checkpoint is kept"
        )


def _descend(optimizer: torch.optim.Optimizer, outcome: Objective, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    outcome.loss.backward()
    optimizer.step()


def _account(
    epochs: list[dict[str, float]], epoch: int, batch: int, outcome: Objective, rate: float
) -> dict[str, float]:
    """Adds a step to its epoch's running means of loss and accuracy (percent)."""
    if len(epochs) == epoch:
        epochs.append({"epoch": epoch + 1, "loss": 0.0, "accuracy": 0.0, "learning_rate": rate})
    right = (outcome.logits.argmax(1) == outcome.labels).float().mean().item() * 100
    row = epochs[epoch]
    row["loss"] += (outcome.loss.item() - row["loss"]) / (batch + 1)
    row["accuracy"] += (right - row["accuracy"]) / (batch + 1)
    return {"epoch": epoch + 1, "loss": row["loss"], "accuracy": row["accuracy"]}


def write_history(epochs: list[dict[str, Any]], parameters: int, output: Path) -> None:
    """One row for each epoch: epoch, loss, accuracy (percent), learning_rate at its first step, and `parameters`."""
    with replacing(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "loss", "accuracy", "learning_rate", "parameters"])
        writer.writeheader()
        writer.writerows(row | {"parameters": parameters} for row in epochs)
