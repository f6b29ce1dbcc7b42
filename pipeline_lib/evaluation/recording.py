"""Losses that record what an attack sees of them: cross-entropies, correct answers, and the first step."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.protocols import Criterion, Loss, Model
from pipeline_lib.evaluation.attacked import FirstStepFacts


@dataclass
class RecordedLoss:
    """A criterion of the logits, by default cross-entropy to the true labels, that notes what it sees: cross-entropies
    and correct answers of each call that takes a gradient, or of the first call if none does (not of clips that an
    attack only tries), and one clip of the first call. Recording costs no further pass."""

    model: Model
    labels: Tensor
    criterion: Criterion | None = None
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
    def facts(self, live: Tensor, clean: Tensor) -> FirstStepFacts:
        """All zero for an attack that takes no gradient."""
        nothing = torch.zeros(len(clean))
        predicted = rise = zero = elements = nothing
        if self.start is not None and self.zeros is not None:
            if self.rise is None:
                self(live)
            zero = self.zeros.flatten(1).all(1)
            elements = zero_elements(self.zeros, self.start, live, clean)
        if self.predicted is not None and self.rise is not None:
            predicted, rise = self.predicted, self.rise
        return FirstStepFacts(*(values.cpu().numpy() for values in (predicted, rise, zero, elements)))


def zero_elements(zeros: Tensor, start: Tensor, live: Tensor, clean: Tensor) -> Tensor:
    """(N,): the fraction of zeros in the attacked region: pixels that differ from the clean ones at the start or the
    end; all, if none does. (One that has no gradient and starts clean is not known to belong to it.)"""
    region = ((start != clean) | (live != clean)).any(1, keepdim=True)
    region = (region | ~per_clip(region.flatten(1).any(1), region)).expand_as(clean)
    return (zeros & region).flatten(1).sum(1) / region.flatten(1).sum(1)
