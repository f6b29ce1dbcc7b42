"""The loss that an attack maximizes, which also records on which clips the network is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline_lib.attacks.goals import Goal
from pipeline_lib.attacks.losses import on_logits
from pipeline_lib.attacks.margins import margin
from pipeline_lib.attacks.protocols import Loss, LossTransform, Model
from pipeline_lib.randomness.draws import drawing_rows


def unchanged(loss: Loss) -> Loss:
    return loss


def unrecorded(rows: Tensor, logits: Tensor) -> None:
    """In place of `GoalLoss.kept`, where no search is recorded."""


class LastLogits:
    """A model that keeps the logits of its last call, without their graph."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.logits: Tensor | None = None

    def __call__(self, clips: Tensor) -> Tensor:
        logits = self.model(clips)
        self.logits = logits.detach()
        return logits


@dataclass(kw_only=True)
class GoalLoss:
    """The loss of a goal for a model around clean `clips` (N, ...) of `labels` (N,): clips -> (N,).

    Most attacks use it as a function. Others also use which clips fool the network, or the loss of another goal for
    some of the clips.

    maximized: the function, which calls `last`. transform: applied to each goal's loss (`loss` of an entry).
    exact: the model in the precision of the evaluation.
    kept: called by a search after each of its queries, with the indices of the clips whose new candidate is their best
        one so far, and the logits of these candidates.
    passes: number of gradients, counted per clip.
    """

    maximized: Loss
    last: LastLogits
    exact: Model
    clips: Tensor
    labels: Tensor
    goal: Goal
    transform: LossTransform = unchanged
    kept: Callable[[Tensor, Tensor], None] = unrecorded
    passes: int = field(default=0, init=False)

    def __call__(self, clips: Tensor) -> Tensor:
        self.passes += len(clips) * clips.requires_grad
        return self.maximized(clips)

    def fooled(self) -> Tensor | None:
        """bool (N,): the clips of the last call on which the network was wrong. None unless the goal is any error."""
        if not getattr(self.goal, "any_error", False) or self.last.logits is None:
            return None
        return self.last.logits.argmax(1) != self.labels

    def of(self, goal: Goal, rows: Tensor) -> "GoalLoss":
        """The loss of another goal for the clips with these indices (M,). It may cost a pass of the model."""
        model, exact = _for_rows(self.last.model, rows), _for_rows(self.exact, rows)
        return goal_loss(model, self.clips[rows], self.labels[rows], goal, transform=self.transform, exact=exact)

    @torch.no_grad()
    def judged(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """bool (N,) whether the network is wrong, and the margin (N,) of the largest wrong logit over the true one; one
        forward pass, without autocast."""
        with torch.autocast(clips.device.type, enabled=False):
            logits = self.exact(clips).float()
        return logits.argmax(1) != self.labels, margin(logits, self.labels)


def goal_loss(
    model: Model,
    clips: Tensor,
    labels: Tensor,
    goal: Goal,
    *,
    transform: LossTransform = unchanged,
    exact: Model | None = None,
) -> GoalLoss:
    """The loss of a goal. Call it inside `attacking(network)`: some goals call the model on the clean clips."""
    last = LastLogits(model)
    maximized = transform(on_logits(last, goal.criterion(model, clips, labels)))
    return GoalLoss(
        maximized=maximized,
        last=last,
        exact=exact or model,
        clips=clips,
        labels=labels,
        goal=goal,
        transform=transform,
    )


@dataclass(frozen=True)
class OfRows:
    """A model for some clips of a batch, by their indices, with the random generators of these clips."""

    model: Model
    rows: list[int]

    def __call__(self, clips: Tensor) -> Tensor:
        with drawing_rows(self.rows):
            return self.model(clips)


def _for_rows(model: Model, rows: Tensor) -> OfRows:
    """The model for some of its clips. Of `OfRows`, indices are those of its own clips."""
    chosen = rows.tolist()
    return (
        OfRows(model.model, [model.rows[row] for row in chosen]) if isinstance(model, OfRows) else OfRows(model, chosen)
    )
