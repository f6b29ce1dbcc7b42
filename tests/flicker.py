from dataclasses import dataclass

import torch

from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.attacks.perturbations import nearest_level


@dataclass(frozen=True, kw_only=True)
class Flicker:
    """One brightness offset for each frame, l-inf bounded (fields are the configuration's keys)."""

    epsilon: float
    steps: int

    def __call__(self, loss, clips, generators):  # loss: clips -> (N,); clips: (N, C, T, H, W) in [0, 1]
        offset = torch.zeros_like(clips[:, :1, :, :1, :1])
        for _ in range(self.steps):
            _, gradient = loss_and_gradient(loss, (clips + offset).clamp(0, 1))
            step = 2 * self.epsilon / self.steps * gradient.sum((1, 3, 4), keepdim=True).sign()
            offset = (offset + step).clamp(-self.epsilon, self.epsilon)
        return (clips + offset).clamp(0, 1)

    def quantize(self, adversarial, clean):  # the nearest 8-bit clips inside the bound
        return nearest_level(adversarial, clean - self.epsilon, clean + self.epsilon)

    def ratio_to_bound(self, adversarial, clean):  # (N,), at most 1 inside
        return (adversarial - clean).abs().flatten(1).amax(1) / self.epsilon
