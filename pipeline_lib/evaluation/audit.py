"""What is measured while an adversarial set is made: facts that tell robustness from an attack that went wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.losses import to_labels
from pipeline_lib.defenses.objective import Attack, Model
from pipeline_lib.evaluation.prediction import Scores
from pipeline_lib.precision import Precision, gap_allowed

Columns = dict[str, np.ndarray]


class LatticeAttack(Attack, Protocol):
    """An attack that can end on the 8-bit lattice inside its bound, and say how much of the bound it uses."""

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor: ...

    def ratio_to_bound(self, adversarial: Tensor, clean: Tensor) -> Tensor: ...


@dataclass
class RecordedLoss:
    """A criterion of the logits, by default cross-entropy to the true labels, that notes what it sees: cross-entropies
    and right answers of each call that takes a gradient, or of the first call if none does (not of clips that an attack
    only tries), the first gradient, and one clip of the first call. Recording costs no further pass."""

    model: Model
    labels: Tensor
    criterion: Callable[[Tensor], Tensor] | None = None
    losses: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)
    first_clip: Tensor | None = None
    zero_elements: Tensor | None = None
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
            self.losses, self.right = [], []
            clips.register_hook(self._note_gradient)
        if not self.losses:
            self.first_clip = clips.detach()[:1].clone()
        if not self.losses or clips.requires_grad:
            self.losses.append(losses.detach())
            self.right.append(logits.detach().argmax(1) == self.labels)
        return losses if self.criterion is None else self.criterion(logits)

    def _note_gradient(self, gradient: Tensor) -> None:
        self.zero_elements = (gradient == 0).flatten(1).float().mean(1)


def recorded_columns(recorded: RecordedLoss, final: Scores, labels: np.ndarray) -> Columns:
    """Loss and right answer (n, T + 1) from the start to the final live clip, and the share (n,) of the first
    gradient that is zero."""
    losses = [*(loss.cpu().numpy() for loss in recorded.losses), final.losses]
    right = [*(answer.cpu().numpy() for answer in recorded.right), final.predictions == labels]
    zero = recorded.zero_elements
    return {
        "trace_loss": np.stack(losses, 1),
        "trace_right": np.stack(right, 1),
        "zero_elements": np.zeros(len(labels)) if zero is None else zero.cpu().numpy(),
    }


def measured_columns(attack: LatticeAttack, live: Tensor, stored: Tensor, clean: Tensor) -> Columns:
    """(n,) each: how much of the bound the live and the stored clips use, how far live ones leave [0, 1], and which
    stored ones are still the clean ones."""
    excess = torch.maximum(live - 1, -live).flatten(1).amax(1).clamp_min(0)
    return {
        "live_bound_ratio": attack.ratio_to_bound(live, clean).cpu().numpy(),
        "bound_ratio": attack.ratio_to_bound(stored, clean).cpu().numpy(),
        "box_excess": excess.cpu().numpy(),
        "unchanged": (stored == clean).flatten(1).all(1).cpu().numpy(),
    }


def goal_reached(recorded: RecordedLoss, predictions: np.ndarray, classes: int) -> np.ndarray:
    """bool (n,): whether no class suits the attack better than the predicted one: of a targeted attack that is its
    target, of an untargeted one any wrong class."""
    criterion = recorded.criterion or to_labels(recorded.labels)
    answers = torch.eye(classes, device=recorded.labels.device)
    suits = torch.stack([criterion(answer.expand(len(predictions), -1)) for answer in answers]).cpu().numpy()
    # Answers differ by 1, or by rounding.
    return suits[predictions, np.arange(len(predictions))] > suits.max(0) - 0.5


def model_gap(recorded: RecordedLoss, evaluate: Callable[[Tensor, Tensor], Scores]) -> np.ndarray:
    """(n,): for the first clip, how far its loss as evaluated is from its loss as attacked, |a - b| / (1 + b); NaN
    for the others. One clip of a batch is enough to see that the two are not the same model."""
    gap = np.full(len(recorded.labels), np.nan)
    if recorded.first_clip is not None:
        evaluated = evaluate(recorded.first_clip, recorded.labels[:1]).losses[0]
        gap[0] = abs(recorded.losses[0][0].item() - evaluated) / (1 + evaluated)
    return gap


def audit_row(columns: Columns, labels: np.ndarray, precision: Precision = "fp32") -> dict[str, float]:
    """One row of facts about an attack in some precision; shares from 0 to 1, accuracies in percent."""

    def accuracy(name: str) -> float:
        return float((columns[name] == labels).mean() * 100)

    gaps = columns["model_gap"][~np.isnan(columns["model_gap"])]
    return {
        "clips": len(labels),
        "iterations": columns["trace_loss"].shape[1] - 1,
        "zero_gradients": float((columns["zero_elements"] == 1).mean()),
        "zero_elements": float(columns["zero_elements"].mean()),
        "start_loss": float(columns["trace_loss"][:, 0].mean()),
        "end_loss": float(columns["trace_loss"][:, -1].mean()),
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
    accuracy, loss = columns["trace_right"].mean(0) * 100, columns["trace_loss"].mean(0)
    return [
        {"step": t, "accuracy": float(a), "loss": float(x)} for t, (a, x) in enumerate(zip(accuracy, loss, strict=True))
    ]
