"""What a job asks of a cluster: memory and time by the size of its work, growing with the attempt.

Estimates on the safe side, not measurements of this machine: a job that is stopped at its limit saves its state, and
the next attempt continues it with more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

BASE_MB = 3000
# Activations that a forward and backward pass keeps, in copies of the input-sized, stem-wide feature map.
ACTIVATION_COPIES = 8
# The authors' log: 4.1 s for 20 attack steps on a clip of 40 x 112 x 112 with 3D ResNeXt-101.
SECONDS_PER_PASS = 0.2
REFERENCE_VOLUME = 40 * 112 * 112
# The larger data sets have about 10,000 training and 4,000 test videos.
CLIPS = 10_000
BASE_MINUTES = 30
# Many clusters refuse jobs of more than a day, or let them wait for ever.
LONGEST_MINUTES = 24 * 60


def memory_mb(network: Mapping[str, Any], shape: Sequence[int], batch: int, attempt: int, processes: int = 1) -> int:
    """Megabytes for a batch of clips of `shape` (frames, height, width) in a network, which `processes` share."""
    frames, height, width = shape
    activations = batch * frames * height * width * _stem_width(network) * 4 * ACTIVATION_COPIES
    return int((BASE_MB * processes + activations / 1e6) * attempt)


def _stem_width(network: Mapping[str, Any]) -> int:
    """The width of an entry's stem; the `width` of an extension is another one."""
    return _stem_width(network["network"]) if "network" in network else network.get("width", 64)


def minutes(passes: int, shape: Sequence[int], attempt: int) -> int:
    """Minutes for `passes` forward and backward passes of every clip, a day at most."""
    frames, height, width = shape
    seconds = CLIPS * passes * SECONDS_PER_PASS * frames * height * width / REFERENCE_VOLUME
    return int(min((BASE_MINUTES + seconds / 60) * attempt, LONGEST_MINUTES))


def passes(entry: Any) -> int:
    """Of every attack in an entry, with a pass of what it makes; and one for the training step or prediction itself."""
    return 1 + _passes(entry)


def _passes(entry: Any) -> int:
    if isinstance(entry, Mapping):
        if "steps" in entry:
            # The attacks that one attack chooses from take none of their own steps, but a forward pass in each of its.
            one = int(entry["steps"]) * (1 + len(entry.get("attacks", []))) + 1
            return int(entry.get("restarts", 1)) * one
        return int(entry.get("samples", 1)) * sum(_passes(value) for value in entry.values())
    if isinstance(entry, list | tuple):
        return sum(_passes(value) for value in entry)
    return 0
