"""Memory and time that a job requests from a cluster, by the size of its work and the attempt.

Conservative estimates, not measurements: a job that is stopped at its limit saves its state, and the next attempt
continues it with a higher limit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline_lib.entries.classes import class_of, definitions
from pipeline_lib.entries.facts import declared, field_named_by, innermost, known_value, layers, target_of
from pipeline_lib.entries.fields import fields
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.counts import Counts

# Of networks that have not been counted, by the positions behind the stem and its width.
FORWARD_OPERATIONS = 700.0
STEM_COPIES, BLOCK_COPIES = 3.0, 30.0
PARAMETERS = 7000.0
# Every job requests them: the time to start, the five minutes that a training computes between two states that it
# saves, and the two in which a job saves its state before its limit. A shorter limit could pass without any progress.
START_MINUTES = 10
# In addition, so many times what it is estimated to compute.
TIMES = 1.5
# Many clusters refuse jobs of more than a day or never start them.
LONGEST_MINUTES = 24 * 60


def estimated_counts(network: Mapping[str, Any], shape: Sequence[int]) -> Counts:
    """Counts of a network that has not been counted, from the positions of its feature maps behind the stem.

    Constants are between those of a ResNet-18 for images and a ResNeXt-101 for clips; both are off by up to 2.
    """
    inner = innermost(network)
    frames, height, width = shape
    reduced = _reduction(inner, frames > 1)
    positions, channels = frames * height * width / reduced, _stem_width(network)
    forward = positions * channels**2 * FORWARD_OPERATIONS
    kept = 4 * positions * channels * (STEM_COPIES * min(reduced, 8) + BLOCK_COPIES)
    return Counts(
        parameters=int(channels**2 * PARAMETERS),
        operations={"forward": forward, "to_input": 2 * forward, "training": 3 * forward},
        memory={"forward": kept / 4, "to_input": kept, "training": kept},
    )


def _reduction(network: Mapping[str, Any], clips: bool) -> float:
    """How many times fewer positions a feature map has behind the stem than the clip; 1 or 32 if undeclared."""
    stride, pool = (known_value(network, key) for key in ("stem_stride", "stem_pool"))
    if stride is None:
        return 32 if clips else 1
    return math.prod(stride) * (2 ** len(stride) if pool else 1)


def _stem_width(network: Mapping[str, Any]) -> int:
    """The width of an entry's stem, the field that its class names in `stem_width` (`width` may mean another one)."""
    return field_named_by(innermost(network), "stem_width") or 64


def minutes(seconds: float, attempt: int) -> int:
    """Whole minutes to request for a job that is estimated to compute for some seconds, at most a day."""
    return math.ceil(min((START_MINUTES + TIMES * seconds / 60) * attempt, LONGEST_MINUTES))


def passes(entry: Any, shape: Sequence[int]) -> int:
    """Forward-backward passes of all attacks in an entry, plus one for the training step or prediction.

    A class declares its own as `passes: ClassVar[str]`, an expression of its fields (`"2 * iterations"`), in which
    `attack.passes` are those of a nested entry. The default is the sum over the nested entries.
    shape: frames, height and width of the clips, for a search over positions of a region.

    Raises:
        PipelineError: an expression that does not give a number.
    """
    return 1 + _summed("passes", entry, shape)


def forwards(entry: Any, shape: Sequence[int]) -> int:
    """How many of the passes of all attacks in an entry need no gradient, as their classes declare in `forwards`."""
    return _summed("forwards", entry, shape)


def seconds_outside(transform: Mapping[str, Any], shape: Sequence[int]) -> float:
    """Seconds of a core that a transform takes for a clip outside torch's operators, as its class declares in
    `seconds`, an expression as `passes`; 0 by default."""
    return evaluated("seconds", transform, shape, float) if declared(transform, "seconds") is not None else 0.0


def examples(defense: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Examples of each clip in the pass of a training step that has the gradients of the parameters: 1 by default.

    A class declares them in `examples: ClassVar[str]`, as `passes`; a wrapping defense has those of the wrapped one.
    """
    own = (layer for layer in layers(defense) if declared(layer, "examples") is not None)
    return next((evaluated("examples", layer, shape) for layer in own), 1)


def kept_passes(entry: Any, shape: Sequence[int]) -> int:
    """Passes whose activations are in memory at once in any attack of an entry: 1, or as classes declare it.

    A class declares its own as `kept_passes: ClassVar[str]`, as `passes`, and keeps as many times those of the entry
    inside.
    """
    if isinstance(entry, Mapping):
        own = evaluated("kept_passes", entry, shape) if declared(entry, "kept_passes") is not None else 1
        return own * kept_passes(list(entry.values()), shape)
    if isinstance(entry, list | tuple):
        return max((kept_passes(value, shape) for value in entry), default=1)
    return 1


def _summed(fact: str, entry: Any, shape: Sequence[int]) -> int:
    if isinstance(entry, Mapping):
        if declared(entry, fact) is not None:
            return evaluated(fact, entry, shape)
        if declared(entry, "passes") is not None:  # of a class that does not declare this part of its passes
            return 0
        return sum(_summed(fact, value, shape) for value in entry.values())
    if isinstance(entry, list | tuple):
        return sum(_summed(fact, value, shape) for value in entry)
    return 0


def evaluated(fact: str, entry: Mapping[str, Any], shape: Sequence[int], number: Callable[[Any], Any] = int) -> Any:
    """The number that a class states as an expression of its fields. Raises PipelineError if it gives none."""
    frames, height, width = shape
    expression = declared(entry, fact)
    own = {key: _Inside.of(known_value(entry, key), shape) for key in fields(target_of(entry))}

    def places(region_height: int, region_width: int, stride: int, last_position: bool) -> int:
        free = height - region_height, width - region_width
        return max((free[0] // stride + last_position) * (free[1] // stride + last_position), 1)

    known = {"len": len, "max": max, "min": min, "sum": sum, "inf": math.inf, "places": places, "frames": frames}
    known["elements"] = 3 * frames * height * width
    try:
        return number(eval(str(expression), {"__builtins__": {}} | known | own))
    except Exception as error:  # an expression may raise anything
        own_class = definitions(class_of(target_of(entry)))[0]
        raise PipelineError(
            f"{own_class.path}: class {own_class.name}: {fact} is {expression!r}: expected an expression that gives a "
            f"number, of the fields {', '.join(own) or '(none)'} ({error})"
        ) from None


class _Inside:
    """A nested entry in an expression: its fields, and its passes."""

    def __init__(self, entry: Mapping[str, Any] | None, shape: Sequence[int]) -> None:
        self._entry, self._shape = entry or {}, shape

    @classmethod
    def of(cls, value: Any, shape: Sequence[int]) -> Any:
        if isinstance(value, list | tuple):
            return [cls.of(item, shape) for item in value]
        if isinstance(value, Mapping) and "method" not in value:
            return {key: cls.of(item, shape) for key, item in value.items()}
        return cls(value, shape) if value is None or isinstance(value, Mapping) else value

    @property
    def passes(self) -> int:
        return _summed("passes", self._entry, self._shape)

    @property
    def forwards(self) -> int:
        return _summed("forwards", self._entry, self._shape)

    def __getattr__(self, key: str) -> Any:
        return _Inside.of(known_value(self._entry, key) if self._entry else None, self._shape)
