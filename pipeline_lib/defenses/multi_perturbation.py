"""Adversarial training on several attacks at once (Tramer and Boneh, 2019)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Attack, Draw, Objective, adversarial_examples, mean_cross_entropy


@dataclass(frozen=True, kw_only=True)
class Average:
    """AVG: the mean loss over the clean clips and every attack's examples, in one forward pass.

    The clean clips are part of it "for a fair comparison" (MultiBN, draft), and BatchNorm sees the mixture.
    """

    attacks: list[Attack]

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        crafted = [
            adversarial_examples(network, network, attack, clips, labels, draw(f"attack {i}"))
            for i, attack in enumerate(self.attacks)
        ]
        return mean_cross_entropy(network(torch.cat([clips, *crafted])), labels.repeat(1 + len(crafted)))
