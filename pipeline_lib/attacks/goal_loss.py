"""What an attack is given to climb: a loss of some clips that also knows which of them the network errs on."""

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


class NotedLogits:
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
    """The loss that a goal makes of a model around clean `clips` (N, ...) of `labels` (N,): clips -> (N,).

    To attacks that ask for nothing else it is a function. Others may know which clips fool the network, or climb the
    loss of another goal, on some of the clips.

    climbed: the function itself, through `noted`. transform: what is made of each goal's loss (`loss` of an entry).
    exact: the model in the precision that it is evaluated in.
    passes: gradients that were taken, counted clip by clip.
    """

    climbed: Loss
    noted: NotedLogits
    exact: Model
    clips: Tensor
    labels: Tensor
    goal: Goal
    transform: LossTransform = unchanged
    passes: int = field(default=0, init=False)

    def __call__(self, clips: Tensor) -> Tensor:
        self.passes += len(clips) * clips.requires_grad
        return self.climbed(clips)

    def fooled(self) -> Tensor | None:
        """bool (N,): on which clips of the last call the network was wrong. None where the goal is not any error."""
        if not getattr(self.goal, "any_error", False) or self.noted.logits is None:
            return None
        return self.noted.logits.argmax(1) != self.labels

    def of(self, goal: Goal, rows: Tensor) -> "GoalLoss":
        """The loss of another goal, of the clips with these indices (M,). It may cost a pass of the model."""
        model, exact = _for_rows(self.noted.model, rows), _for_rows(self.exact, rows)
        return goal_loss(model, self.clips[rows], self.labels[rows], goal, transform=self.transform, exact=exact)

    @torch.no_grad()
    def judged(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """bool (N,) whether the network errs, and by how much the largest wrong logit is above the true one; one
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
    """The loss of a goal. Call it inside `attacking(network)`: some goals ask the model about the clean clips."""
    noted = NotedLogits(model)
    climbed = transform(on_logits(noted, goal.criterion(model, clips, labels)))
    return GoalLoss(
        climbed=climbed,
        noted=noted,
        exact=exact or model,
        clips=clips,
        labels=labels,
        goal=goal,
        transform=transform,
    )


def _for_rows(model: Model, rows: Tensor) -> Model:
    """The model for some clips of a batch: what it draws at random, it draws for these."""
    chosen = rows.tolist()

    def of_rows(clips: Tensor) -> Tensor:
        with drawing_rows(chosen):
            return model(clips)

    return of_rows
