"""One measurement of a check, with its cost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is measured: `made` returns several sets of clips from rows, under each of which a clip must be correct.

    forwards, gradients: passes per clip, scoring included. early: fraction of the gradients of a clip that is soon
    fooled. share: of the remaining time that it may take.
    survivors: only clips that no white-box attack has fooled are attacked. most: clips at most. naive: without BPDA.
    at_once: `made` gets all clips, and not batches of them. facts: that `made` records.
    """

    name: str
    title: str
    kind: str
    order: float = 0.0
    made: Callable[[Sequence[int]], Iterator[Tensor]]
    forwards: float = 1.0
    gradients: float = 0.0
    early: float = 1.0
    share: float = 0.5
    survivors: bool = False
    naive: bool = False
    at_once: bool = False
    most: int = 10**9
    facts: dict[str, Any] = field(default_factory=dict)
