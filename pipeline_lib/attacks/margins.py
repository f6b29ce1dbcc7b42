"""Goals by differences of logits: losses that keep their gradients where cross-entropy saturates.

All of them aim at any wrong prediction; `dlr_targeted` at that of one class. Their value is above 0 only where the
network is wrong; that of `log_odds` also where the true class has less than probability 1/2.
"""

from typing import ClassVar

import torch
from torch import Tensor

from pipeline_lib.attacks.goals import check_labels
from pipeline_lib.attacks.protocols import Criterion, Model
from pipeline_lib.entries.ranges import Count, method
from pipeline_lib.errors import PipelineError

# As in the authors' code of DLR: gradients are finite where all logits are equal.
SMALLEST_SCALE = 1e-12


@method
class LogOdds:
    """The logarithm of the odds of a wrong prediction, log((1 - p) / p) of the true class's probability p.

    Cross-entropy is its softplus: both increase in the same direction and have the same order. Where p rounds to 1, the
    gradients of cross-entropy vanish, and these do not.
    """

    any_error: ClassVar[bool] = True

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        def log_odds(logits: Tensor) -> Tensor:
            require_classes("log_odds", 2, logits)
            return without(logits, labels).logsumexp(1) - chosen(logits, labels)

        return log_odds


@method
class Margin:
    """The largest wrong logit minus the true one (Carlini and Wagner, 2017), without a limit."""

    any_error: ClassVar[bool] = True

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        return lambda logits: margin(logits, labels)


@method
class DLR:
    """The margin divided by the largest logit minus the third one (Croce and Hein, 2020, Eq. 6): invariant to scale and
    shift of the logits. Needs three classes."""

    any_error: ClassVar[bool] = True

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        def dlr(logits: Tensor) -> Tensor:
            require_classes("dlr", 3, logits)
            first, _, third = logits.topk(3, dim=1).values.unbind(1)
            return margin(logits, labels) / scale(first - third)

        return dlr


@method
class TargetedDLR:
    """The logit of one wrong class minus the true one, divided by the largest logit minus the mean of the third and
    fourth (Croce and Hein, 2020, Eq. 7). Needs four classes.

    rank: rank of the wrong class by its logit on the clean clip, from 1. It costs one more forward pass.
    """

    any_error: ClassVar[bool] = True

    rank: Count = 1

    def criterion(self, model: Model, clips: Tensor, labels: Tensor) -> Criterion:
        targets = self._targets(model, clips, labels)

        def dlr_targeted(logits: Tensor) -> Tensor:
            largest = logits.topk(4, dim=1).values
            gained = (chosen(logits, targets) - chosen(logits, labels)) / scale(largest[:, 0] - largest[:, 2:].mean(1))
            return gained

        return dlr_targeted

    def _targets(self, model: Model, clips: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            logits = model(clips)
        check_labels(logits, int(labels.max()))
        require_classes("dlr_targeted", 4, logits)
        if self.rank >= logits.shape[1]:
            raise PipelineError(f"rank is {self.rank}: of {logits.shape[1]} classes {logits.shape[1] - 1} are wrong")
        return without(logits, labels).argsort(1, descending=True)[:, self.rank - 1]


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """(N, classes) -> (N,): the largest wrong logit minus the true one; above 0 where the network is wrong."""
    require_classes("margin", 2, logits)
    return without(logits, labels).amax(1) - chosen(logits, labels)


def without(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits with minus infinity in place of those of the labels (N,)."""
    return logits.scatter(1, labels[:, None], -torch.inf)


def chosen(logits: Tensor, classes: Tensor) -> Tensor:
    """(N, classes) and (N,) -> (N,): each row's logit of its class."""
    return logits.gather(1, classes[:, None])[:, 0]


def scale(difference: Tensor) -> Tensor:
    """The difference as a divisor, at least SMALLEST_SCALE: the largest logits may be equal."""
    return difference.clamp_min(SMALLEST_SCALE)


def require_classes(name: str, least: int, logits: Tensor) -> None:
    if logits.dim() != 2 or logits.shape[1] < least:
        raise PipelineError(
            f"{name} needs {least} classes, and the network returns logits of shape {tuple(logits.shape)}"
        )
