"""What becomes of attacked clips: the nearest ones on the 8-bit lattice, or themselves."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from pipeline_lib.attacks.protocols import LatticeAttack
from pipeline_lib.clips.loader import as_clips, as_float_frames, as_frames
from pipeline_lib.entries.storages import Storage
from pipeline_lib.errors import PipelineError

Keep = Callable[[LatticeAttack, Tensor, Tensor], tuple[Tensor, np.ndarray]]
"""An attack with its clips and the clean ones -> the clips that are kept, (N, C, T, H, W), and their frames."""


def on_lattice(attack: LatticeAttack, live: Tensor, clean: Tensor) -> tuple[Tensor, np.ndarray]:
    """The nearest clips on the 8-bit lattice inside the bound, which are videos that can exist; frames uint8."""
    stored = attack.quantize(live, clean)
    return stored, as_frames(stored)


def as_attacked(attack: LatticeAttack, live: Tensor, clean: Tensor) -> tuple[Tensor, np.ndarray]:
    """The attack's own clips, as every reader will be given them; frames float32.

    Raises:
        PipelineError: clips that are not finite.
    """
    if not live.isfinite().all():
        raise PipelineError("the attack's clips are not finite: the network or its loss overflows")
    frames = as_float_frames(live)
    return as_clips(frames, live.device), frames


KEEP: dict[Storage, Keep] = {"lattice": on_lattice, "float32": as_attacked}
