"""Goals: the prediction that an attack aims at. The caller turns a goal into a loss, which is all that an attack gets.

A clip whose label is the target is attacked as if untargeted, so that every clip is attacked.
"""

from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.losses import on_logits, to_labels
from pipeline_lib.attacks.protocols import Criterion, Loss, Model
from pipeline_lib.entries.facts import layers
from pipeline_lib.entries.ranges import Natural, method
from pipeline_lib.errors import PipelineError


class Goal(Protocol):
    """A class attribute `any_error = True` means that every wrong prediction is a success."""

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        """The criterion to maximize around clean `clips` of `labels` (N,). Call it inside `attacking(network)`."""


@method
class Untargeted:
    """Any wrong prediction: the cross-entropy to the true label."""

    any_error: ClassVar[bool] = True

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        return to_labels(labels)


@method
class TargetClass:
    """One class for all clips, by its number from 0: minus the cross-entropy to it.

    target: number of the class, from 0.
    """

    target: Natural

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        targets = torch.full_like(labels, self.target)

        def towards_target(logits: Tensor) -> Tensor:
            if self.target >= logits.shape[1]:
                raise PipelineError(f"target is {self.target}: the network has the classes 0 to {logits.shape[1] - 1}")
            return towards(logits, targets, labels)

        return towards_target


@method
class NextClass:
    """The class after the true one; class 0 after the last."""

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        return lambda logits: towards(logits, (labels + 1) % logits.shape[1], labels)


@method
class LeastLikely:
    """The wrong class that the network finds least likely on the clean clip (Kurakin et al., 2017).

    It costs one more forward pass.
    """

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        with torch.no_grad():
            logits = model(clips)
        check_labels(logits, int(labels.max()))
        targets = logits.scatter(1, labels[:, None], torch.inf).argmin(1)
        return lambda logits: towards(logits, targets, labels)


def check_labels(logits: Tensor, largest: int) -> None:
    """Raises ValueError if the logits have no column for the largest label."""
    if logits.dim() != 2 or largest >= logits.shape[1]:
        raise ValueError(f"a label is {largest}, and the network returns logits of shape {tuple(logits.shape)}")


def towards(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """(N, classes) -> (N,): minus the cross-entropy to the targets; with plus where the target is the true label."""
    sign = 1 - 2 * (targets != labels).float()
    return sign * F.cross_entropy(logits, targets, reduction="none")


def goal_of(attack: object) -> Goal:
    """The `goal` of an attack, or of the `attack` that it wraps; untargeted if neither has one."""
    goals = (getattr(layer, "goal", None) for layer in layers(attack))
    return next((goal for goal in goals if goal is not None and hasattr(goal, "criterion")), Untargeted())


def loss_of(attack: object, model: Model, clips: Tensor, labels: Tensor) -> Loss:
    """The loss of a model for the attack's goal, around these clean clips."""
    return on_logits(model, goal_of(attack).criterion(model, clips, labels))
