"""One random generator per clip, so that an attack's result does not depend on batch size or order."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def clip_generators(seed: int, keys: Sequence[str]) -> list[torch.Generator]:
    """A generator for each key (e.g. a video's name), seeded by both; a key gives the same numbers on any machine.

    They draw on the CPU, also for clips on a GPU, which draws other numbers from the same seed.
    """
    return [torch.Generator().manual_seed(clip_seed(seed, key)) for key in keys]


def clip_seed(seed: int, key: str) -> int:
    """63 bits of the SHA-256 of both."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def copy_of(generator: torch.Generator) -> torch.Generator:
    """A generator that draws the same numbers next."""
    return torch.Generator().set_state(generator.get_state())


def require_one_each(generators: Sequence[torch.Generator], clips: Tensor) -> None:
    """Raises ValueError unless there are as many generators as clips."""
    if len(generators) != len(clips):
        raise ValueError(f"{len(generators)} generators for {len(clips)} clips: give one per clip")
