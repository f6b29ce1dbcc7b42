"""Attacks that are learned once for a model, on training clips, before they meet a test clip (universal ones)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from pipeline_lib.attacks.framing import Adam
from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.clips.adversarial_store import enlarged
from pipeline_lib.clips.loader import as_clips, batch_of
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.objective import Model
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import margin_of
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.audit import LatticeAttack
from pipeline_lib.jobs.logs import LOGGER, Progress
from pipeline_lib.jobs.runs import SAVE_EVERY_SECONDS, STOPPED, publish, run_folder, stop_requests
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import check_classes, load_model, view
from pipeline_lib.precision import computing_in
from pipeline_lib.provenance.fingerprints import canonical, digest, file_digest
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators


class Universal(Protocol):
    """An attack with a pattern to learn."""

    learned_by: ClassVar[str]
    """The name of the field that says how: an `Adam`."""

    def pattern(self, shape: tuple[int, ...]) -> Tensor:
        """The first pattern for clips (C, T, H, W)."""

    def show(self, pattern: Tensor, clips: Tensor) -> Tensor:
        """Clips (N, C, T, H, W) with the pattern; differentiable in the pattern."""

    def learned(self, pattern: Tensor) -> LatticeAttack:
        """The attack that shows it."""


def learn_attack(
    attack_entry: dict[str, Any],
    *,
    weights: Path,
    branch: str | None,
    clips: Path,
    runs: Path,
    code: str,
    seed: int,
    output: Path,
    device: torch.device,
) -> None:
    """Learns an attack's pattern on a source and publishes it; an interrupted run goes on after its last save."""
    data, attack = Clips(clips), build(attack_entry)
    source = load_model(weights, device)
    check_classes(source, data.classes, weights)
    entry = {"attack": attack_entry, "branch": branch, "seed": seed}
    key = digest(canonical(entry), code, data.checksum, file_digest(weights))
    with run_folder(runs, key) as folder, stop_requests() as stop:
        with attacking(source.network), computing_in("fp32"):
            learn(attack, view(source.network, branch), data, seed, folder / "state.pt", device, stop)
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
    """Climbs the mean cross-entropy over the pattern; `state` holds it after some of the steps, and after the last, and
    which fraction of the first gradient was zero.

    A stochastic transform in the model draws anew for each video at each step.
    """
    how: Adam = getattr(attack, attack.learned_by)
    frames, height, width, channels = data.shape
    margin = margin_of(attack)
    larger = height + 2 * margin, width + 2 * margin
    pattern = attack.pattern((channels, frames, *larger)).to(device).requires_grad_()
    optimizer = torch.optim.Adam([pattern], how.learning_rate, maximize=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, how.decay_every, how.decay)
    (done, zero), per_epoch = _restore(state, pattern, optimizer, schedule), -(-len(data) // how.batch_size)
    total, saved = how.epochs * per_epoch, time.monotonic()
    progress = Progress("learning", total, "batches", start=done)
    for number in range(done, total):
        rows = batch_of(number, steps_per_epoch=per_epoch, count=len(data), size=how.batch_size, seed=seed)
        labels = torch.from_numpy(data.labels[rows]).to(device)
        shown = attack.show(pattern, as_clips(enlarged(data.read(rows), margin), device))
        optimizer.zero_grad()
        with drawing(clip_generators(seed, [f"{data.videos[row]}/transform/{number}" for row in rows])):
            # Where nothing leads back to the pattern, as behind a detached transform, the gradient is zero, no error.
            (cross_entropy(model, labels)(shown).mean() + 0 * pattern.sum()).backward()
        gradient = _finite_gradient(pattern, number)
        zero = zero_elements(attack, pattern, gradient, shown.detach()) if number == 0 else zero
        optimizer.step()
        progress.advance(1, epoch=number // per_epoch + 1)
        last, stopping = number + 1 == total, stop()
        if (number + 1) % per_epoch == 0:
            schedule.step()
        if last or stopping or time.monotonic() - saved > SAVE_EVERY_SECONDS:
            _save(state, pattern, optimizer, schedule, {"steps": number + 1, "zero_elements": zero})
            saved = time.monotonic()
        if stopping and not last:
            LOGGER.info("asked to stop after %d of %d batches", number + 1, total)
            raise SystemExit(STOPPED)
    progress.close()


def zero_elements(attack: Universal, pattern: Tensor, gradient: Tensor, clips: Tensor) -> float:
    """The fraction of zeros in a pattern's gradient, among the elements that clips show: none is zero by the attack."""
    (reach,) = torch.autograd.grad(attack.show(pattern, clips).sum(), pattern)
    return (gradient[reach != 0] == 0).float().mean().item()


def _finite_gradient(pattern: Tensor, number: int) -> Tensor:
    if pattern.grad is None or not pattern.grad.isfinite().all():
        raise PipelineError(
            f"learning, batch {number + 1}: the gradient is not finite, the network or its loss overflows; what was "
            "saved before is kept"
        )
    return pattern.grad


def _save(
    state: Path, pattern: Tensor, optimizer: torch.optim.Optimizer, schedule: Any, facts: dict[str, float]
) -> None:
    parts = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    checkpoint.write(state, {"pattern": pattern.detach()} | parts | facts)


def _restore(state: Path, pattern: Tensor, optimizer: torch.optim.Optimizer, schedule: Any) -> tuple[int, float]:
    """The number of batches that are done, and the fraction of the first gradient that was zero."""
    if not state.exists():
        return 0, 0.0
    saved = torch.load(state, map_location=pattern.device, weights_only=True)
    pattern.data.copy_(saved["pattern"])
    optimizer.load_state_dict(saved["optimizer"])
    schedule.load_state_dict(saved["schedule"])
    return saved["steps"], saved["zero_elements"]


def load_pattern(path: Path, device: torch.device) -> Tensor:
    return torch.load(path, map_location=device, weights_only=True)["pattern"]


def load_zero_elements(path: Path) -> float:
    """The fraction of zeros in the first gradient that a pattern was learned with."""
    return torch.load(path, map_location="cpu", weights_only=True)["zero_elements"]
