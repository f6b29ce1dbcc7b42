"""Settings of a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from pipeline_lib.check.given import GivenAttack
from pipeline_lib.check.measurements import STEPS
from pipeline_lib.check.measuring import Bars, Reporting
from pipeline_lib.check.threats import Threat


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a check.

    minutes: for everything; None without a limit. batch_size: clips at once, by default from their size. classes: the
    network's, if it shall be checked. folder: where finished measurements are kept. seed: of all draws. steps: of PGD.
    attack: of an evaluation that is checked too: (network, clips, labels) -> adversarial clips. stand_in: a network
    from which attacks are transferred; by default a small one is trained on the clips. key: what these and the checked
    network depend on besides weights, such as the texts of their files.
    """

    minutes: float | None = None
    batch_size: int | None = None
    classes: int | None = None
    folder: Path | None = None
    seed: int = 0
    steps: tuple[int, ...] = STEPS
    attack: GivenAttack | None = None
    stand_in: nn.Module | None = None
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a check was asked for besides its target: see `evaluate`. modes: training flag of each module, as given."""

    threat: Threat
    modes: Sequence[bool]
    options: Options
    say: Reporting
    bars: Bars
