"""MultiBN: one BatchNorm branch for each type of input (Lo and Patel, IEEE T-IP 2022)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Attack, Draw, Objective, adversarial_examples, mean_cross_entropy
from pipeline_lib.models.multi_batchnorm import branch_out, through, through_groups


@dataclass(frozen=True, kw_only=True)
class MultiBNManual:
    """MultiBN whose branch is chosen by hand: each type of input is crafted on, and normalized by, its own branch.

    `branches` gives the attacks of each branch; none means the clean clips. Clean clips and all examples pass in one
    forward (shared convolutions, and the shared shortcut BatchNorm sees the mixture), as in the authors' code.
    """

    branches: dict[str, list[Attack]]

    def extend(self, network: nn.Module) -> nn.Module:
        return branch_out(network, list(self.branches))

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        inputs = {branch: self._inputs(network, branch, clips, labels, draw) for branch in self.branches}
        groups = [(branch, len(labels) * len(examples)) for branch, examples in inputs.items()]
        every = [example for examples in inputs.values() for example in examples]
        logits = through_groups(network, groups)(torch.cat(every))
        return mean_cross_entropy(logits, labels.repeat(len(every)))

    def _inputs(self, network: nn.Module, branch: str, clips: Tensor, labels: Tensor, draw: Draw) -> list[Tensor]:
        """The examples of a branch's attacks, each crafted through it; the clean clips if it has none."""
        model = through(network, branch)
        crafted = [
            adversarial_examples(network, model, attack, clips, labels, draw(f"{branch} {i}"))
            for i, attack in enumerate(self.branches[branch])
        ]
        return crafted or [clips]
