"""Attacks with the papers' settings, and losses with known gradients to try them on."""

import torch
from torch import nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.entries.building import build, load
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.randomness.generators import clip_generators

# The papers' settings for frames of 112 x 112 (MultAV, section 4).
BLACK_AND_WHITE = {"method": "additive_linf", "epsilon": 1.0, "step_size": 70 / 255}
ATTACKS = {
    "pgd": {
        "perturbation": {"method": "additive_linf", "epsilon": 4 / 255, "step_size": 1 / 255},
        "start": {"method": "uniform_noise", "radius": 4 / 255},
    },
    "roa": {
        "perturbation": BLACK_AND_WHITE,
        "region": {"method": "random_rectangle", "height": 30, "width": 30},
        "start": {"method": "constant", "value": 0.5},
    },
    "af": {
        "perturbation": BLACK_AND_WHITE,
        "region": {"method": "border", "width": 10},
        "start": {"method": "uniform_noise", "radius": 1.0},
    },
    "spa": {
        "perturbation": BLACK_AND_WHITE,
        "region": {"method": "random_pixels", "count": 100},
        "start": {"method": "constant", "value": 0.0},
    },
    "multav_linf": {"perturbation": {"method": "ratio_linf", "epsilon": 1.04, "step_size": 1.01}},
    "multav_af": {
        "perturbation": {"method": "ratio_linf", "epsilon": 3.55, "step_size": 1.7},
        "region": {"method": "border", "width": 10},
    },
    "pgd_l2": {
        "perturbation": {"method": "additive_l2", "epsilon": 8, "step_size": 1.0},
        "start": {"method": "uniform_box", "radius": 8},
    },
    "multav_l2": {"perturbation": {"method": "ratio_l2", "epsilon": 4, "step_size": 3.55}},
    "l1": {"perturbation": {"method": "additive_l1", "epsilon": 2.5, "step_size": 0.05}},
    "multav_roa": {
        "perturbation": {"method": "ratio_linf", "epsilon": 3.55, "step_size": 1.7},
        "region": {"method": "random_rectangle", "height": 30, "width": 30, "per": "video"},
    },
    "multav_spa": {
        "perturbation": {"method": "ratio_linf", "epsilon": 3.55, "step_size": 1.7, "zeros": "floor"},
        "region": {"method": "random_pixels", "count": 100, "replace": False},
        "start": {"method": "log_uniform", "ratio": 3.55},
    },
    "fgsm": {"perturbation": {"method": "additive_linf", "epsilon": 4 / 255, "step_size": 4 / 255}, "restarts": 1},
}
LABELS = torch.tensor([0, 1, 2, 3])


def attack(name: str, steps: int = 5) -> Ascent:
    return build(resolved({"method": "ascent", "steps": steps, **ATTACKS[name]}))


def resolved(entry):
    if not isinstance(entry, dict):
        return entry
    return {key: METHODS[value] if key == "method" else resolved(value) for key, value in entry.items()}


def of_attacks(member: str) -> set[type]:
    """The classes that attacks are built from, by a member of their kind: `admits` of regions, `project` of bounds."""
    found = {load(target) for target in METHODS.values() if target.startswith("pipeline_lib.attacks.")}
    return {each for each in found if hasattr(each, member)}


def random_clips(*shape: int, seed: int = 0) -> torch.Tensor:
    """Clips on the 8-bit lattice, with black and white pixels among them."""
    levels = torch.randint(-40, 296, shape, generator=torch.Generator().manual_seed(seed)).clamp(0, 255)
    return levels / 255


CLIPS = random_clips(4, 3, 2, 112, 112)
SMALL = random_clips(4, 3, 3, 6, 5)
WEIGHT = torch.randn(SMALL.shape[1:], generator=torch.Generator().manual_seed(1))
WEIGHT[:, :, 0] = 0


def linear(clips: torch.Tensor) -> torch.Tensor:
    return (clips * WEIGHT).flatten(1).sum(1)


def wavy(clips: torch.Tensor) -> torch.Tensor:
    """A loss whose gradient changes its sign from place to place, computed clip by clip."""
    return torch.stack([(40 * clip).sin().sum() for clip in clips])


def generators(n: int = 4, first: int = 0) -> list[torch.Generator]:
    return clip_generators(7, [f"video {i}" for i in range(first, first + n)])


def linear_in(weight: torch.Tensor):
    """A loss with this gradient."""
    return lambda clips: (weight * clips).flatten(1).sum(1)


def weights_like(clips: torch.Tensor) -> torch.Tensor:
    """A weight for each element of a clip."""
    return torch.randn(clips.shape[1:], generator=torch.Generator().manual_seed(1), dtype=clips.dtype)


def five_classes(pooled: int = 1) -> nn.Module:
    """A network for images of 8 x 8, of which it averages squares of `pooled` pixels; it errs on some of them."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = [nn.Linear(192 // pooled**2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 5)]
    front = [nn.AvgPool2d(pooled)] if pooled > 1 else []
    return nn.Sequential(*front, nn.Flatten(), *layers).eval().requires_grad_(False)
