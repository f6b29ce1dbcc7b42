"""What jobs cost: passes of a network, in operations and beside them, and sizes of sets."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline_lib.entries.facts import innermost, known_value
from pipeline_lib.entries.storages import LATTICE, storage_of
from pipeline_lib.jobs.costs import forwards, kept_passes, passes
from pipeline_lib.jobs.counts import Counts

Passes = Mapping[str, float]
"""Numbers of passes of each kind, by the names of `Counts`."""

# Of a call of a torch operator, on any device.
CALL_SECONDS = 8e-6
# Size of a set by its clips' (measured on the demo): on the lattice, dense and inside a region; of float32 values.
DENSE, REGIONAL, EXACT = 0.5, 0.15, 2.7


class Work(NamedTuple):
    """Of a job: floating-point operations, peak memory in MB (host and device together), bytes on disk, of which
    network the operations are (a model), and of the memory what is on the device only: activations. seconds: what
    transforms in front of the network take in addition to their operations."""

    operations: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    model: str | None = None
    activations: float = 0.0
    seconds: float = 0.0


def passes_of(entry: Any, shape: Sequence[int]) -> tuple[int, int, int]:
    """Of all attacks in an entry: passes with a gradient, passes without one, and those in memory at once."""
    alone = forwards(entry, shape)
    return max(passes(entry, shape) - 1 - alone, 0), alone, kept_passes(entry, shape)


def operations_of(passes: Passes, counts: Counts) -> float:
    """Operations of some passes, per clip."""
    return sum(number * counts.operations[name] for name, number in passes.items())


def seconds_of_passes(passes: Passes, calls: Passes, outside: float, clips: float, at_once: float) -> float:
    """Seconds of a transform in front of a network, in addition to those of its operations, in passes of some clips.

    calls: of torch's operators, by each kind of pass, for a batch of any size. outside: seconds for a clip in each
    pass. at_once: clips of a batch.
    """
    batches = math.ceil(clips / max(at_once, 1))
    in_torch = sum(number * calls.get(name, 0) for name, number in passes.items()) * CALL_SECONDS
    return batches * in_torch + clips * outside * sum(passes.values())


def stored_size(attack: Mapping[str, Any]) -> float:
    """The size of an attack's set over that of its clips."""
    if storage_of(attack) != LATTICE:
        return EXACT
    inner = innermost(attack)
    return REGIONAL if known_value(inner, "region") or "perturbation" not in inner else DENSE
