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
# An element that an operator writes takes as long as so many operations of a convolution: 0.67 ns on a core that
# computes 0.15 TFLOP/s; 8 bytes at 3 TB/s on a GPU with 3 TFLOP/s.
ELEMENT_OPERATIONS_ON_CPU, ELEMENT_OPERATIONS_ON_GPU = 100, 8
# Size of a set by its clips' (measured on the demo): on the lattice, dense and inside a region; of float32 values.
DENSE, REGIONAL, EXACT = 0.5, 0.15, 2.7


class Work(NamedTuple):
    """Of a job: floating-point operations, elements that operators write, peak memory in MB (host and device together),
    bytes on disk, of which network the operations are (a model), and of the memory what is on the device only:
    activations. seconds: what calls of operators, and transforms outside torch, take in addition. transform_operations,
    transform_elements: of the operations and elements, those of transforms in front of the network."""

    operations: float = 0.0
    elements: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    model: str | None = None
    activations: float = 0.0
    seconds: float = 0.0
    transform_operations: float = 0.0
    transform_elements: float = 0.0

    def as_operations(self, on_gpu: bool) -> float:
        """The operations of a convolution that take as long as the operations and elements."""
        return _as_operations(self.operations, self.elements, on_gpu)

    def transforms_as_operations(self, on_gpu: bool) -> float:
        """Of `as_operations`, those of transforms."""
        return _as_operations(self.transform_operations, self.transform_elements, on_gpu)

    def times(self, factor: float) -> "Work":
        """As much for a number of the clips: what the job computes, and not what it needs at once."""
        return self._replace(**{name: factor * getattr(self, name) for name in COMPUTED})


COMPUTED = ("operations", "elements", "seconds", "transform_operations", "transform_elements")


def _as_operations(operations: float, elements: float, on_gpu: bool) -> float:
    return operations + elements * (ELEMENT_OPERATIONS_ON_GPU if on_gpu else ELEMENT_OPERATIONS_ON_CPU)


def passes_of(entry: Any, shape: Sequence[int]) -> tuple[int, int, int]:
    """Of all attacks in an entry: passes with a gradient, passes without one, and those in memory at once."""
    alone = forwards(entry, shape)
    return max(passes(entry, shape) - 1 - alone, 0), alone, kept_passes(entry, shape)


def cost_of(passes: Passes, counts: Counts, outside: float, clips: float, at_once: float) -> dict[str, float]:
    """What some clips cost in passes: operations, elements, and seconds beside them, as in `Work`.

    outside: seconds that transforms take for a clip in each pass. at_once: clips of a batch.
    """
    batches = math.ceil(clips / max(at_once, 1))
    each = {
        of: sum(number * getattr(counts, of).get(name, 0) for name, number in passes.items())
        for of in ("operations", "elements", "calls")
    }
    return {
        "operations": clips * each["operations"],
        "elements": clips * each["elements"],
        "seconds": batches * each["calls"] * CALL_SECONDS + clips * outside * sum(passes.values()),
    }


def stored_size(attack: Mapping[str, Any]) -> float:
    """The size of an attack's set over that of its clips."""
    if storage_of(attack) != LATTICE:
        return EXACT
    inner = innermost(attack)
    return REGIONAL if known_value(inner, "region") or "perturbation" not in inner else DENSE
