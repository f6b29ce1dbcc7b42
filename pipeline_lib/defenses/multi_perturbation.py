"""Adversarial training on several attacks (Tramer and Boneh, 2019)."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.losses import cross_entropy
from pipeline_lib.attacks.protocols import Attack
from pipeline_lib.defenses.objective import Draw, Objective, adversarial_examples, logits_of_eval, mean_cross_entropy
from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError


@method
class Average:
    """AVG: the mean loss over the clean clips and every attack's examples, in one forward pass.

    clean: whether the clean clips are included, as in MultiBN "for a fair comparison" (draft); Tramer and Boneh
    train on examples only. BatchNorm's statistics are over the mixture.
    attacks: each makes an example of every clip.
    """

    examples: ClassVar[str] = "len(attacks) + clean"

    attacks: list[Attack]
    clean: bool = True

    def __post_init__(self) -> None:
        if not self.attacks:
            raise PipelineError("attacks is empty: average needs one or more")

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        inputs = [clips] if self.clean else []
        inputs += crafted_by(self.attacks, network, clips, labels, draw)
        return mean_cross_entropy(network(torch.cat(inputs)), labels.repeat(len(inputs)))


@method
class Maximum:
    """MAX: the mean loss over the clean clips and the worst attack's examples, in one forward pass.

    level: the worst is the attack of largest mean cross-entropy over the `batch` (the authors' code), or for each
    `sample` the example of largest cross-entropy (Tramer and Boneh); both for the network in eval mode.
    attacks: each makes an example of every clip.
    """

    examples: ClassVar[str] = "2"

    attacks: list[Attack]
    level: Literal["batch", "sample"] = "batch"

    def __post_init__(self) -> None:
        if not self.attacks:
            raise PipelineError("attacks is empty: maximum needs one or more")

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        crafted = crafted_by(self.attacks, network, clips, labels, draw)
        loss = cross_entropy(lambda examples: logits_of_eval(network, network, examples), labels)
        worst = self._worst(torch.stack([loss(examples) for examples in crafted]))
        examples = torch.stack(crafted)[worst, torch.arange(len(labels), device=labels.device)]
        return mean_cross_entropy(network(torch.cat([clips, examples])), labels.repeat(2))

    def _worst(self, losses: Tensor) -> Tensor:
        """(K, N) losses -> (N,) the index of each clip's attack."""
        if self.level == "sample":
            return losses.argmax(0)
        return losses.mean(1).argmax().expand(losses.shape[1])


def crafted_by(
    attacks: Sequence[Attack], network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw
) -> list[Tensor]:
    """The adversarial examples of each attack."""
    return [
        adversarial_examples(network, network, attack, clips, labels, draw(f"attack {i}"))
        for i, attack in enumerate(attacks)
    ]
