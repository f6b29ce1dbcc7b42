"""The generators that stochastic transforms in front of a network draw from, one per clip of the batch.

A network is called with clips only, so the generators are set by a context manager around the call. Draws are then a
function of seed and clip, independent of earlier calls.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

from pipeline_lib.context import holding

_GENERATORS: ContextVar[Sequence[torch.Generator] | None] = ContextVar("generators", default=None)


def drawing(generators: Sequence[torch.Generator]) -> AbstractContextManager[Sequence[torch.Generator]]:
    """Inside, stochastic transforms draw from these, one per clip; every forward pass makes new draws."""
    return holding(_GENERATORS, generators)


@contextmanager
def drawing_rows(rows: Sequence[int]) -> Iterator[None]:
    """Inside, transforms draw from the generators of the clips with these indices only."""
    given = _GENERATORS.get()
    with nullcontext() if given is None else drawing([given[row] for row in rows]):
        yield


def present_generators(clips: int) -> list[torch.Generator]:
    """One generator for each of `clips` clips; for a batch of several versions of the clips, repeated in order.

    Raises RuntimeError outside `drawing`, or if the number of clips is not a multiple of the number of generators.
    """
    given = _GENERATORS.get()
    if given is None:
        raise RuntimeError("a stochastic transform has no generators: call the network inside drawing(...)")
    if not given or clips % len(given):
        raise RuntimeError(f"{clips} clips for {len(given)} generators: give one per clip")
    return list(given) * (clips // len(given))
