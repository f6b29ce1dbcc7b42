"""Memory and time that a job requests from a cluster, by the size of its work and the attempt.

Conservative estimates, not measurements: a job that is stopped at its limit saves its state, and the next attempt
continues it with a higher limit.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_lib.entries.classes import class_of, definitions
from pipeline_lib.entries.facts import declared, field_named_by, innermost, known_value, target_of
from pipeline_lib.entries.fields import fields
from pipeline_lib.errors import PipelineError

BASE_MB = 3000
# Activations stored for a backward pass, in copies of a feature map with the input's size and the stem's width.
ACTIVATION_COPIES = 8
# The authors' log: 4.1 s for 20 attack steps on a clip of 40 x 112 x 112 with 3D ResNeXt-101.
SECONDS_PER_PASS = 0.2
REFERENCE_VOLUME = 40 * 112 * 112
# The larger data sets have about 10,000 training and 4,000 test videos.
CLIPS = 10_000
BASE_MINUTES = 30
# Many clusters refuse jobs of more than a day or never start them.
LONGEST_MINUTES = 24 * 60


def memory_mb(network: Mapping[str, Any], shape: Sequence[int], batch: int, attempt: int, processes: int = 1) -> int:
    """Megabytes for a batch of clips of `shape` (frames, height, width) in a network, over all `processes`."""
    frames, height, width = shape
    activations = batch * frames * height * width * _stem_width(network) * 4 * ACTIVATION_COPIES
    return int((BASE_MB * processes + activations / 1e6) * attempt)


def _stem_width(network: Mapping[str, Any]) -> int:
    """The width of an entry's stem, the field that its class names in `stem_width` (`width` may mean another one)."""
    return field_named_by(innermost(network), "stem_width") or 64


def minutes(passes: int, shape: Sequence[int], attempt: int) -> int:
    """Minutes for `passes` forward-backward passes of every clip, at most a day."""
    frames, height, width = shape
    seconds = CLIPS * passes * SECONDS_PER_PASS * frames * height * width / REFERENCE_VOLUME
    return int(min((BASE_MINUTES + seconds / 60) * attempt, LONGEST_MINUTES))


def passes(entry: Any, shape: Sequence[int]) -> int:
    """Forward-backward passes of all attacks in an entry, plus one for the training step or prediction.

    A class declares its own as `passes: ClassVar[str]`, an expression of its fields (`"2 * iterations"`), in which
    `attack.passes` are those of a nested entry. The default is the sum over the nested entries.
    shape: frames, height and width of the clips, for a search over positions of a region.

    Raises:
        PipelineError: an expression that does not give a number.
    """
    return 1 + _passes(entry, shape)


def _passes(entry: Any, shape: Sequence[int]) -> int:
    if isinstance(entry, Mapping):
        if declared(entry, "passes") is not None:
            return evaluated("passes", entry, shape)
        return sum(_passes(value, shape) for value in entry.values())
    if isinstance(entry, list | tuple):
        return sum(_passes(value, shape) for value in entry)
    return 0


def evaluated(fact: str, entry: Mapping[str, Any], shape: Sequence[int]) -> int:
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
        return int(eval(str(expression), {"__builtins__": {}} | known | own))
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
        return cls(value, shape) if value is None or isinstance(value, Mapping) else value

    @property
    def passes(self) -> int:
        return _passes(self._entry, self._shape)

    def __getattr__(self, key: str) -> Any:
        return _Inside.of(known_value(self._entry, key) if self._entry else None, self._shape)
