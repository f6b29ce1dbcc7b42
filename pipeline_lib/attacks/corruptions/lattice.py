"""Corrupted clips on the 8-bit lattice."""

import torch
from torch import Tensor

from pipeline_lib.attacks.perturbations import nearest_level


def on_lattice(clips: Tensor) -> Tensor:
    """The nearest multiples of 1/255 in [0, 1]."""
    return nearest_level(clips, torch.zeros_like(clips), torch.ones_like(clips))
