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


def passes(entry: Any, shape: Sequence[int]) -> int:
    """Of every attack in an entry, with a pass of what it makes; and one for the training step or prediction itself.

    shape: frames, height and width of the clips, where a search goes over the places of a region.
    """
    return 1 + _passes(entry, shape)


def _passes(entry: Any, shape: Sequence[int]) -> int:
    if isinstance(entry, Mapping):
        if "steps" in entry:
            return _climbs(entry, shape)
        return int(entry.get("samples", 1)) * sum(_passes(value, shape) for value in entry.values())
    if isinstance(entry, list | tuple):
        return sum(_passes(value, shape) for value in entry)
    return 0


def _climbs(entry: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Of an attack that iterates: its climbs, a pass for the end of each one that is compared, and one at last."""
    # The attacks that one attack chooses from take none of their own steps, but a forward pass in each of its.
    choices, restarts = entry.get("attacks", []), int(entry.get("restarts", 1))
    climb = int(entry["steps"]) * (1 + len(choices)) + sum(_tried(one, shape) for one in [entry, *choices])
    compared = restarts > 1 or (entry.get("keep") == "best" and not choices)
    return restarts * (climb + compared) + 1


def _tried(entry: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Of a search for the place of a region: one for each place that is tried, and one for a gradient."""
    region = entry.get("region", {})
    if "search" not in region:
        return 0
    frames, height, width = shape
    stride, last = int(region.get("stride", 1)), bool(region.get("last_position", False))
    free = height - region["height"], width - region["width"]
    places = max((free[0] // stride + last) * (free[1] // stride + last), 1)
    one_by_one = frames if region.get("per") == "frame" else 1
    if region["search"] == "exhaustive":
        return one_by_one * places
    return 1 + one_by_one * min(int(region.get("candidates", 20)), places)
