"""Random clips inside a threat: an attack that needs nothing of the network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_lib.check.target import Target
from pipeline_lib.check.threats import Threat
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.randomness.noise import noise_like


def random_clips(threat: Threat, target: Target, rows: Sequence[int], draw: int) -> Tensor:
    """Random clips of these rows, on the bound of the threat where it has a size."""
    attack, clips = threat.attack(1), target.clips[list(rows)]
    generators = clip_generators(target.seed, [f"{target.names[row]}/noise {draw}" for row in rows])
    mask = attack.region.mask(clips, generators)
    uniform = noise_like(clips, generators, lambda noise, g: noise.uniform_(generator=g))
    if threat.kind == "linf":
        moved = clips + 2 * (uniform - 0.5).sign()
    elif threat.kind == "ratio_linf":
        moved = clips * torch.where(uniform < 0.5, 1 / threat.size[0], threat.size[0])
    else:
        moved = uniform
    inside = attack.perturbation.project(moved, clips).clamp(0, 1)
    return torch.where(mask, inside, clips)
