"""Measurements of an adversarial set: facts that distinguish robustness from an attack that went wrong."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.attacks.losses import to_labels
from pipeline_lib.attacks.protocols import LatticeAttack
from pipeline_lib.entries.facts import offers_clean
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.answers import answer_facts
from pipeline_lib.evaluation.attacked import AttackedClips, BoundFacts, Trace
from pipeline_lib.evaluation.bounds import NOT_MEASURED, bound_ratio
from pipeline_lib.evaluation.convergence import convergence
from pipeline_lib.evaluation.prediction import Scores
from pipeline_lib.evaluation.recording import RecordedLoss
from pipeline_lib.precision import Precision, gap_allowed
from pipeline_lib.records.audits import Audit, TraceRow


def with_learned_gradient(attacked: AttackedClips, zero_elements: float) -> AttackedClips:
    """The clips of a universal pattern, with the gradient facts of its learning: applying it takes no gradient."""
    clips = len(attacked.crc32)
    zero = {"zero_gradient": np.full(clips, zero_elements == 1), "zero_elements": np.full(clips, zero_elements)}
    return attacked._replace(first_step=attacked.first_step._replace(**zero))


def trace_of(recorded: RecordedLoss, clean: Scores, final: Scores, labels: np.ndarray) -> Trace:
    """The trace of an attack's recorded loss and of the final live clips. That of a search begins with the clean clips,
    and ends with the final ones instead of the candidates kept after its last query."""
    inner = slice(0, -1 if recorded.is_search else None)
    losses = [loss.cpu().numpy() for loss in recorded.losses[inner]]
    correct = [answer.cpu().numpy() for answer in recorded.correct[inner]]
    if recorded.is_search:
        losses, correct = [clean.losses, *losses], [clean.predictions == labels, *correct]
    return Trace(np.stack([*losses, final.losses], 1), np.stack([*correct, final.predictions == labels], 1))


def require_finite(videos: Sequence[str], what: str, *values: Tensor) -> None:
    """Raises PipelineError with the videos whose entries (N, ...) are NaN or infinite. Comparisons would not detect
    them, and the sign of a NaN gradient is 0, so that the model would look robust on such a clip."""
    finite = [value.reshape(len(videos), -1).isfinite().all(1).tolist() for value in values]
    broken = [video for video, *fine in zip(videos, *finite, strict=True) if not all(fine)]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise PipelineError(f"{what} not finite for {', '.join(broken[:3])}{more}: the network or its loss overflows")


def bound_facts(attack: LatticeAttack, live: Tensor, stored: Tensor, clean: Tensor) -> BoundFacts:
    """Ratios of the clips to the attack's bound, their distance from the box, and whether they were left unchanged: not
    those of an attack that has the clean clip among its candidates."""
    excess = torch.maximum(live - 1, -live).flatten(1).amax(1).clamp_min(0)
    unchanged = (stored == clean).flatten(1).all(1) & (not offers_clean(attack))
    return BoundFacts(
        live_ratio=bound_ratio(attack, live, clean),
        stored_ratio=bound_ratio(attack, stored, clean),
        box_excess=excess.cpu().numpy(),
        unchanged=unchanged.cpu().numpy(),
    )


def goal_reached(recorded: RecordedLoss, predictions: np.ndarray, classes: int) -> np.ndarray:
    """bool (n,): whether the predicted class maximizes the attack's criterion: the target of a targeted attack, any
    wrong class for an untargeted one."""
    criterion = recorded.criterion or to_labels(recorded.labels)
    answers = torch.eye(classes, device=recorded.labels.device)
    suits = torch.stack([criterion(answer.expand(len(predictions), -1)) for answer in answers]).cpu().numpy()
    # The criteria of classes differ by 1, or by rounding.
    return suits[predictions, np.arange(len(predictions))] > suits.max(0) - 0.5


def model_gap(recorded: RecordedLoss, evaluate: Callable[[Tensor, Tensor], Scores]) -> np.ndarray:
    """(n,): for the first clip, the gap |a - b| / (1 + b) between its loss as attacked and as evaluated; `NOT_MEASURED`
    for the others. One clip of a batch is enough to detect that the two are different models."""
    gap = np.full(len(recorded.labels), NOT_MEASURED)
    if recorded.first_clip is not None:
        evaluated = evaluate(recorded.first_clip, recorded.labels[:1]).losses[0]
        gap[0] = abs(recorded.losses[0][0].item() - evaluated) / (1 + evaluated)
    return gap


def audit_of(attacked: AttackedClips, labels: np.ndarray, precision: Precision = "fp32") -> Audit:
    """The audit of attacked clips; precision: that of the attack."""
    first, trace, bound = attacked.first_step, attacked.trace, attacked.bound
    gaps = attacked.model_gap[attacked.model_gap != NOT_MEASURED]
    return Audit(
        clips=len(labels),
        iterations=trace.loss.shape[1] - 1,
        zero_gradients=float(first.zero_gradient.mean()),
        zero_elements=float(first.zero_elements.mean()),
        start_loss=float(trace.loss[:, 0].mean()),
        end_loss=float(trace.loss[:, -1].mean()),
        predicted_increase=float(first.predicted_increase.mean()),
        first_rise=float(first.first_rise.mean()),
        changed_predictions=float((attacked.stored.predictions != attacked.clean.predictions).mean()),
        reached_goals=float(attacked.goal_reached.mean()),
        unchanged_clips=float(bound.unchanged.mean()),
        live_bound_ratio=float(bound.live_ratio.max()),
        bound_ratio=float(bound.stored_ratio.max()),
        box_excess=float(bound.box_excess.max()),
        model_gap=float(gaps.mean()) if len(gaps) else 0.0,
        gap_allowed=gap_allowed(precision),
        clean_accuracy=accuracy(attacked.clean, labels),
        live_accuracy=accuracy(attacked.live, labels),
        stored_accuracy=accuracy(attacked.stored, labels),
        below_floor=float(first.below_floor.mean()),
        **convergence(trace.loss, trace.correct),
        classes=len(np.unique(labels)),
        **answer_facts(attacked.clean.predictions, labels),
    )


def accuracy(scores: Scores, labels: np.ndarray) -> float:
    """In percent."""
    return float((scores.predictions == labels).mean() * 100)


def trace_rows(trace: Trace) -> list[TraceRow]:
    """Mean accuracy and loss of the live clips after 0 (the start) to T iterations."""
    means = zip((trace.correct.mean(0) * 100).tolist(), trace.loss.mean(0).tolist(), strict=True)
    return [TraceRow(step, accuracy, loss) for step, (accuracy, loss) in enumerate(means)]
