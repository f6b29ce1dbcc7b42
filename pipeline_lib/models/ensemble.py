"""Ensembles: several trained models as one, which averages their logits."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Defense
from pipeline_lib.entries.ranges import method
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import check_same_classes
from pipeline_lib.networks.extension import Network


@method
class Member:
    """The network of a member, extended by its defense.

    network: the architecture.
    defense: how it was trained, and what extends it.
    """

    title: ClassVar[str] = "member"

    network: Network
    defense: Defense

    def __call__(self, classes: int) -> nn.Module:
        return self.defense.extend(self.network(classes))


@method
class Ensemble:
    """Networks whose logits are averaged with equal weights (Dong et al., CVPR 2018, section 3.2).

    members: two or more.
    """

    title: ClassVar[str] = "ensemble of mean logits"

    members: list[Member]

    def __call__(self, classes: int) -> nn.Module:
        return MeanLogits([member(classes) for member in self.members])


class MeanLogits(nn.Module):
    """The mean of the logits of networks for the same clips, (N, classes)."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, clips: Tensor) -> Tensor:
        return torch.stack([member(clips) for member in self.members]).mean(0)


def load_members(network: MeanLogits, weights: Sequence[Path], classes: list[str]) -> None:
    """Loads the checkpoint of each member, in order. Raises PipelineError for models of other classes."""
    for member, path in zip(network.members, weights, strict=True):
        content = checkpoint.load(path)
        checkpoint.check_finite(content["state"], path)
        check_same_classes(content["classes"], classes, path)
        member.load_state_dict(content["state"])
