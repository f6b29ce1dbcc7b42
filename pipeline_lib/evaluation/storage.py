"""Storage of attacked clips: rounded to the 8-bit lattice, or unchanged."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from pipeline_lib.attacks.protocols import LatticeAttack
from pipeline_lib.clips.loader import as_clips, as_float_frames, as_frames
from pipeline_lib.entries.storages import Storage
from pipeline_lib.errors import PipelineError

Keep = Callable[[LatticeAttack, Tensor, Tensor], tuple[Tensor, np.ndarray]]
"""(attack, live clips, clean clips) -> the stored clips (N, C, T, H, W), and their frames."""


def on_lattice(attack: LatticeAttack, live: Tensor, clean: Tensor) -> tuple[Tensor, np.ndarray]:
    """The nearest clips on the 8-bit lattice inside the bound, which are valid videos; frames uint8."""
    stored = attack.quantize(live, clean)
    return stored, as_frames(stored)


def as_attacked(attack: LatticeAttack, live: Tensor, clean: Tensor) -> tuple[Tensor, np.ndarray]:
    """The attack's own clips, exactly as they are read back; frames float32.

    Raises:
        PipelineError: clips that are not finite.
    """
    if not live.isfinite().all():
        raise PipelineError("the attack's clips are not finite: the network or its loss overflows")
    frames = as_float_frames(live)
    return as_clips(frames, live.device), frames


KEEP: dict[Storage, Keep] = {"lattice": on_lattice, "float32": as_attacked}
