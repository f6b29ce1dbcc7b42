"""Measurements of attacked clips: arrays with one entry per clip, grouped by their origin.

Audits, predictions and traces are computed from them, and a job keeps them in its run folder.
"""

from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np

from pipeline_lib.evaluation.prediction import Scores

T = TypeVar("T")
Columns = dict[str, np.ndarray]


class FirstStepFacts(NamedTuple):
    """(n,) each: increase of the attack's objective in the first step as predicted by the first gradient, its actual
    increase, whether the gradient is zero, its fraction of zeros in the attacked region, and whether its l2 norm is
    below the attack's `smallest_norm`."""

    predicted_increase: np.ndarray
    first_rise: np.ndarray
    zero_gradient: np.ndarray
    zero_elements: np.ndarray
    below_floor: np.ndarray


class Trace(NamedTuple):
    """(n, T + 1) each: cross-entropy and correctness from the start to the final live clip."""

    loss: np.ndarray
    correct: np.ndarray


class BoundFacts(NamedTuple):
    """(n,) each: ratio to the bound of the live and of the stored clips, largest distance of live clips from [0, 1],
    and whether the stored clip equals the clean one although the attack does not offer that."""

    live_ratio: np.ndarray
    stored_ratio: np.ndarray
    box_excess: np.ndarray
    unchanged: np.ndarray


class AttackedClips(NamedTuple):
    """All measurements of some attacked clips.

    model_gap: see `audit.model_gap`. goal_reached: of the stored clips. crc32: of the stored frames.
    """

    first_step: FirstStepFacts
    trace: Trace
    bound: BoundFacts
    clean: Scores
    live: Scores
    stored: Scores
    model_gap: np.ndarray
    goal_reached: np.ndarray
    crc32: np.ndarray


def columns_of(group: Any, prefix: str = "") -> Columns:
    """The arrays of a group and of the groups in it, by names such as `trace.loss`."""
    found: Columns = {}
    for name, value in group._asdict().items():
        inner = {prefix + name: value} if isinstance(value, np.ndarray) else columns_of(value, f"{prefix}{name}.")
        found |= inner
    return found


def from_columns(kind: type[T], columns: Columns, prefix: str = "") -> T:
    """The group whose arrays have these names. Raises KeyError if one is missing."""

    def member(name: str, inner: Any) -> Any:
        return columns[prefix + name] if inner is np.ndarray else from_columns(inner, columns, f"{prefix}{name}.")

    return kind(**{name: member(name, inner) for name, inner in get_type_hints(kind).items()})
