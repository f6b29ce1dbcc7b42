"""Adaptive attacks on MultiBN: they fool the selection module and the network together (Lo and Patel, 2022)."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import NonNegative, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.bn_selector import record_selections


@method
class Adaptive:
    """L(class) + `weight` * L(selection, `type`), per clip, maximized through the whole network in the same pass.

    The second term is the cross-entropy to the true type of the attack, the branch that was trained on it (`lp` for
    PGD): maximizing it misleads the selection. weight: lambda; 0 is the papers' attack, which differentiates through
    the selection but does not aim at it. The values that they tried are not printed.

    type: the branch that was trained on the attack.
    """

    names_branch: ClassVar[str] = "type"

    type: str
    weight: NonNegative = 1.0

    def __call__(self, loss: Loss) -> Loss:
        """The loss of the classes plus that of the selection. Raises PipelineError for a network without one."""

        def joint(clips: Tensor) -> Tensor:
            with record_selections() as recorded:
                classes = loss(clips)
            if not recorded:
                raise PipelineError("loss adaptive: this network has no selection module; attack one that has")
            selection = recorded[-1]
            if self.type not in selection.branches:
                raise PipelineError(f"type is {self.type!r}: the network has the branches {list(selection.branches)}")
            types = torch.full_like(classes, selection.branches.index(self.type), dtype=torch.long)
            return classes + self.weight * F.cross_entropy(selection.logits.float(), types, reduction="none")

        return joint
