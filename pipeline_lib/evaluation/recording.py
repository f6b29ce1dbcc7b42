"""Losses that record an attack's iterates: cross-entropies, correctness, and the first step."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.protocols import Criterion, Loss, Model
from pipeline_lib.evaluation.attacked import FirstStepFacts


@dataclass
class RecordedLoss:
    """A criterion of the logits, by default cross-entropy to the true labels, with a record of its calls.

    It records cross-entropies and correctness of each call with a gradient (of the first call if there is none; not of
    clips that an attack only tries), and one clip of the first call. Of a search without gradients it records those of
    each clip's best candidate after every query. Recording needs no additional pass.
    """

    model: Model
    labels: Tensor
    criterion: Criterion | None = None
    losses: list[Tensor] = field(default_factory=list)
    correct: list[Tensor] = field(default_factory=list)
    first_clip: Tensor | None = None
    has_gradient: bool = False
    is_search: bool = False

    def __call__(self, clips: Tensor) -> Tensor:
        logits = self.model(clips).float()
        if clips.requires_grad and not logits.requires_grad:
            # No path back to the clips: the gradient is recorded as zero instead of raising an unnamed error.
            logits = logits + 0 * clips.flatten(1).sum(1, keepdim=True)
        losses = F.cross_entropy(logits, self.labels, reduction="none")
        if clips.requires_grad and not self.has_gradient:
            self.has_gradient = True
            # Clips tried before the first gradient are not iterates.
            self.losses, self.correct = [], []
        if not self.losses:
            self.first_clip = clips.detach()[:1].clone()
        if not self.losses or clips.requires_grad:
            self.losses.append(losses.detach())
            self.correct.append(logits.detach().argmax(1) == self.labels)
        return losses if self.criterion is None else self.criterion(logits)

    def until_now(self) -> "RecordedLoss":
        """A record that later calls do not change."""
        return replace(self, losses=[*self.losses], correct=[*self.correct])

    def kept(self, rows: Tensor, logits: Tensor) -> None:
        """Records a query, after which the clips `rows` have a new best candidate with these logits. The first query
        has one for every clip."""
        if not self.is_search:
            self.is_search, self.losses, self.correct = True, [], []
        labels, logits = self.labels[rows], logits.float()
        new = F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels
        for found, values in zip((self.losses, self.correct), new, strict=True):
            found.append(found[-1].index_put((rows,), values) if found else values)


@dataclass
class FirstStep:
    """An attack's objective, with a record of its first step.

    From the first gradient g at clips a and the next clips b that the attack evaluates, it records the actual increase
    and the one predicted by a linear loss, <g, b - a>. It needs no additional pass, except one forward pass if the
    attack makes no further call.

    floor: l2 norm below which a gradient counts as short.
    """

    loss: Loss
    start: Tensor | None = None
    before: Tensor | None = None
    gradient: Tensor | None = None
    zeros: Tensor | None = None
    predicted: Tensor | None = None
    rise: Tensor | None = None
    floor: float = 0.0
    short: Tensor | None = None

    def __call__(self, clips: Tensor) -> Tensor:
        self._predict(clips.detach())  # and frees the gradient, before the next pass needs memory
        losses = self.loss(clips)
        if self.start is None and clips.requires_grad:
            # A copy: an attack may update the clips in place.
            self.start, self.before = clips.detach().clone(), losses.detach()
            clips.register_hook(self._note)
        elif self.predicted is not None and self.before is not None and self.rise is None:
            self.rise = losses.detach() - self.before
        return losses

    def _note(self, gradient: Tensor) -> None:
        self.gradient, self.zeros = gradient, gradient == 0
        self.short = gradient.flatten(1).norm(dim=1) < self.floor

    def _predict(self, clips: Tensor) -> None:
        """Computes the predicted increase, unless the clips are the first ones again or of another batch."""
        if self.gradient is None or self.start is None or clips.shape != self.start.shape:
            return
        if not torch.equal(clips, self.start):
            self.predicted = (self.gradient * (clips - self.start)).flatten(1).sum(1)
            self.gradient = None

    @torch.no_grad()
    def facts(self, live: Tensor, clean: Tensor) -> FirstStepFacts:
        """All zero for an attack that takes no gradient."""
        nothing = torch.zeros(len(clean))
        predicted = rise = zero = elements = short = nothing
        if self.start is not None and self.zeros is not None:
            if self.rise is None:
                self(live)
            zero = self.zeros.flatten(1).all(1)
            elements = zero_elements(self.zeros, self.start, live, clean)
            short = nothing if self.short is None else self.short
        if self.predicted is not None and self.rise is not None:
            predicted, rise = self.predicted, self.rise
        return FirstStepFacts(*(values.cpu().numpy() for values in (predicted, rise, zero, elements, short)))


def zero_elements(zeros: Tensor, start: Tensor, live: Tensor, clean: Tensor) -> Tensor:
    """(N,): the fraction of zeros in the attacked region: pixels that differ from the clean ones at the start or the
    end; all pixels if none differs. Pixels without a gradient that start clean cannot be attributed to the region."""
    region = ((start != clean) | (live != clean)).any(1, keepdim=True)
    region = (region | ~per_clip(region.flatten(1).any(1), region)).expand_as(clean)
    return (zeros & region).flatten(1).sum(1) / region.flatten(1).sum(1)
