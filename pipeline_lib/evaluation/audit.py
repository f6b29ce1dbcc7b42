"""What is measured while an adversarial set is made: facts that tell robustness from an attack that went wrong."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.losses import Loss, to_labels
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.defenses.objective import Attack, Model
from pipeline_lib.entries.facts import layers
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.prediction import Scores
from pipeline_lib.precision import Precision, gap_allowed

Columns = dict[str, np.ndarray]
# In place of a gap or a ratio, which are not negative. Not NaN, which stays what it is: a loss that is not finite.
NOT_MEASURED = -1.0


class LatticeAttack(Attack, Protocol):
    """An attack that can end on the 8-bit lattice, inside its bound if it has one.

    One with a bound also has `ratio_to_bound(adversarial, clean)`, (N,): how much of it each clip uses.
    """

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor: ...


@dataclass
class RecordedLoss:
    """A criterion of the logits, by default cross-entropy to the true labels, that notes what it sees: cross-entropies
    and correct answers of each call that takes a gradient, or of the first call if none does (not of clips that an
    attack only tries), and one clip of the first call. Recording costs no further pass."""

    model: Model
    labels: Tensor
    criterion: Callable[[Tensor], Tensor] | None = None
    losses: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)
    first_clip: Tensor | None = None
    climbing: bool = False

    def __call__(self, clips: Tensor) -> Tensor:
        logits = self.model(clips).float()
        if clips.requires_grad and not logits.requires_grad:
            # Nothing leads back to the clips: a zero gradient, which is noted, and not an error without a name.
            logits = logits + 0 * clips.flatten(1).sum(1, keepdim=True)
        losses = F.cross_entropy(logits, self.labels, reduction="none")
        if clips.requires_grad and not self.climbing:
            self.climbing = True
            # What an attack tried before its first gradient is no iterate.
            self.losses, self.correct = [], []
        if not self.losses:
            self.first_clip = clips.detach()[:1].clone()
        if not self.losses or clips.requires_grad:
            self.losses.append(losses.detach())
            self.correct.append(logits.detach().argmax(1) == self.labels)
        return losses if self.criterion is None else self.criterion(logits)


@dataclass
class FirstStep:
    """What an attack climbs, noting the first gradient g at clips a, and whether the loss rises as it says at the next
    clips b that the attack asks for: by <g, b - a>, were the loss linear. It costs no further pass, but one forward
    pass for an attack that never asks again."""

    loss: Loss
    start: Tensor | None = None
    before: Tensor | None = None
    gradient: Tensor | None = None
    zeros: Tensor | None = None
    predicted: Tensor | None = None
    rise: Tensor | None = None

    def __call__(self, clips: Tensor) -> Tensor:
        self._predict(clips.detach())  # and lets go of the gradient, before the next pass takes its memory
        losses = self.loss(clips)
        if self.start is None and clips.requires_grad:
            # A copy: an attack may go on in the same memory.
            self.start, self.before = clips.detach().clone(), losses.detach()
            clips.register_hook(self._note)
        elif self.predicted is not None and self.before is not None and self.rise is None:
            self.rise = losses.detach() - self.before
        return losses

    def _note(self, gradient: Tensor) -> None:
        self.gradient, self.zeros = gradient, gradient == 0

    def _predict(self, clips: Tensor) -> None:
        """Waits where the clips are the first ones again, or other ones."""
        if self.gradient is None or self.start is None or clips.shape != self.start.shape:
            return
        if not torch.equal(clips, self.start):
            self.predicted = (self.gradient * (clips - self.start)).flatten(1).sum(1)
            self.gradient = None

    @torch.no_grad()
    def columns(self, live: Tensor, clean: Tensor) -> Columns:
        """(n,) each: how far the gradient says that the loss rises in the first step, how far it rises, whether the
        gradient is zero, and which fraction of it is in the attacked region."""
        names = ("predicted_increase", "first_rise", "zero_gradient", "zero_elements")
        found = dict.fromkeys(names, torch.zeros(len(clean)))
        if self.start is not None and self.zeros is not None:
            if self.rise is None:
                self(live)
            found["zero_gradient"] = self.zeros.flatten(1).all(1)
            found["zero_elements"] = zero_elements(self.zeros, self.start, live, clean)
        if self.predicted is not None and self.rise is not None:
            found["predicted_increase"], found["first_rise"] = self.predicted, self.rise
        return {name: values.cpu().numpy() for name, values in found.items()}


def zero_elements(zeros: Tensor, start: Tensor, live: Tensor, clean: Tensor) -> Tensor:
    """(N,): the fraction of zeros in the attacked region: pixels that differ from the clean ones at the start or the
    end; all, if none does. (One that has no gradient and starts clean is not known to belong to it.)"""
    region = ((start != clean) | (live != clean)).any(1, keepdim=True)
    region = (region | ~per_clip(region.flatten(1).any(1), region)).expand_as(clean)
    return (zeros & region).flatten(1).sum(1) / region.flatten(1).sum(1)


def learned_columns(zero_elements: float, clips: int) -> Columns:
    """(n,) each, of a pattern that all clips share: it asks for no gradient when it is shown, but did when it was
    learned."""
    return {"zero_gradient": np.full(clips, zero_elements == 1), "zero_elements": np.full(clips, zero_elements)}


def recorded_columns(recorded: RecordedLoss, final: Scores, labels: np.ndarray) -> Columns:
    """Loss and correct answer (n, T + 1) from the start to the final live clip."""
    losses = [*(loss.cpu().numpy() for loss in recorded.losses), final.losses]
    correct = [*(answer.cpu().numpy() for answer in recorded.correct), final.predictions == labels]
    return {"trace_loss": np.stack(losses, 1), "trace_correct": np.stack(correct, 1)}


def require_finite(videos: Sequence[str], what: str, *values: Tensor) -> None:
    """Raises PipelineError naming the videos whose entries (N, ...) are NaN or infinite: no comparison would see them,
    and the sign of a gradient of NaN is 0, so that such a clip looks as if it withstood the attack."""
    finite = [value.reshape(len(videos), -1).isfinite().all(1).tolist() for value in values]
    broken = [video for video, *fine in zip(videos, *finite, strict=True) if not all(fine)]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise PipelineError(f"{what} not finite for {', '.join(broken[:3])}{more}: the network or its loss overflows")


def measured_columns(attack: LatticeAttack, live: Tensor, stored: Tensor, clean: Tensor) -> Columns:
    """(n,) each: how much of the bound the live and the stored clips use, how far live ones leave [0, 1], and which
    stored ones are still the clean ones."""
    excess = torch.maximum(live - 1, -live).flatten(1).amax(1).clamp_min(0)
    return {
        "live_bound_ratio": bound_ratio(attack, live, clean),
        "bound_ratio": bound_ratio(attack, stored, clean),
        "box_excess": excess.cpu().numpy(),
        "unchanged": (stored == clean).flatten(1).all(1).cpu().numpy(),
    }


def bound_ratio(attack: Any, clips: Tensor, clean: Tensor) -> np.ndarray:
    """(n,): how much of its bound an attack, or one that it wraps, uses; `NOT_MEASURED` where one states no bound."""
    if not all(hasattr(layer, "ratio_to_bound") for layer in layers(attack)):
        return np.full(len(clean), NOT_MEASURED)
    with unchanged_by(attack, clips, clean):
        return attack.ratio_to_bound(clips, clean).cpu().numpy()


@contextmanager
def unchanged_by(attack: Any, *tensors: Tensor) -> Iterator[None]:
    """Raises PipelineError if an attack, which is given these tensors inside, writes into them."""
    before = [tensor._version for tensor in tensors]
    yield
    if [tensor._version for tensor in tensors] != before:
        raise PipelineError(f"{type(attack).__name__} writes into the clips that quantize or ratio_to_bound is given")


def goal_reached(recorded: RecordedLoss, predictions: np.ndarray, classes: int) -> np.ndarray:
    """bool (n,): whether no class suits the attack better than the predicted one: of a targeted attack that is its
    target, of an untargeted one any wrong class."""
    criterion = recorded.criterion or to_labels(recorded.labels)
    answers = torch.eye(classes, device=recorded.labels.device)
    suits = torch.stack([criterion(answer.expand(len(predictions), -1)) for answer in answers]).cpu().numpy()
    # Answers differ by 1, or by rounding.
    return suits[predictions, np.arange(len(predictions))] > suits.max(0) - 0.5


def model_gap(recorded: RecordedLoss, evaluate: Callable[[Tensor, Tensor], Scores]) -> np.ndarray:
    """(n,): for the first clip, how far its loss as evaluated is from its loss as attacked, |a - b| / (1 + b);
    `NOT_MEASURED` for the others. One clip of a batch is enough to see that the two are not the same model."""
    gap = np.full(len(recorded.labels), NOT_MEASURED)
    if recorded.first_clip is not None:
        evaluated = evaluate(recorded.first_clip, recorded.labels[:1]).losses[0]
        gap[0] = abs(recorded.losses[0][0].item() - evaluated) / (1 + evaluated)
    return gap


def audit_row(columns: Columns, labels: np.ndarray, precision: Precision = "fp32") -> dict[str, float]:
    """One row of facts about an attack in some precision; fractions from 0 to 1, accuracies in percent."""

    def accuracy(name: str) -> float:
        return float((columns[name] == labels).mean() * 100)

    gaps = columns["model_gap"][columns["model_gap"] != NOT_MEASURED]
    return {
        "clips": len(labels),
        "iterations": columns["trace_loss"].shape[1] - 1,
        "zero_gradients": float(columns["zero_gradient"].mean()),
        "zero_elements": float(columns["zero_elements"].mean()),
        "start_loss": float(columns["trace_loss"][:, 0].mean()),
        "end_loss": float(columns["trace_loss"][:, -1].mean()),
        "predicted_increase": float(columns["predicted_increase"].mean()),
        "first_rise": float(columns["first_rise"].mean()),
        "changed_predictions": float((columns["stored_prediction"] != columns["clean_prediction"]).mean()),
        "reached_goals": float(columns["goal_reached"].mean()),
        "unchanged_clips": float(columns["unchanged"].mean()),
        "live_bound_ratio": float(columns["live_bound_ratio"].max()),
        "bound_ratio": float(columns["bound_ratio"].max()),
        "box_excess": float(columns["box_excess"].max()),
        "model_gap": float(gaps.mean()) if len(gaps) else 0.0,
        "gap_allowed": gap_allowed(precision),
        "clean_accuracy": accuracy("clean_prediction"),
        "live_accuracy": accuracy("live_prediction"),
        "stored_accuracy": accuracy("stored_prediction"),
    }


def trace_rows(columns: Columns) -> list[dict[str, Any]]:
    """Accuracy (percent) and mean loss of the live clips after each number of iterations, 0 (the start) to T."""
    accuracy, loss = columns["trace_correct"].mean(0) * 100, columns["trace_loss"].mean(0)
    return [
        {"step": t, "accuracy": float(a), "loss": float(x)} for t, (a, x) in enumerate(zip(accuracy, loss, strict=True))
    ]
