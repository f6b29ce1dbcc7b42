"""Where stochastic transforms in front of a network draw from: the generators of the clips that pass through it.

A network is called with clips alone, so the generators are given around the call. A context that always ends keeps
draws a function of seed and clip, whatever ran before.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

from pipeline_lib.context import holding

_GENERATORS: ContextVar[Sequence[torch.Generator] | None] = ContextVar("generators", default=None)


def drawing(generators: Sequence[torch.Generator]) -> AbstractContextManager[Sequence[torch.Generator]]:
    """Inside, stochastic transforms draw from these, one for each clip; every forward pass draws anew."""
    return holding(_GENERATORS, generators)


@contextmanager
def drawing_rows(rows: Sequence[int]) -> Iterator[None]:
    """Inside, transforms draw for some of the clips that generators are given for: those with these indices."""
    given = _GENERATORS.get()
    with nullcontext() if given is None else drawing([given[row] for row in rows]):
        yield


def present_generators(clips: int) -> list[torch.Generator]:
    """One generator for each of `clips` clips; a batch of several versions of the clips repeats them in order.

    Raises RuntimeError outside `drawing`, or if the clips are no multiple of its generators.
    """
    given = _GENERATORS.get()
    if given is None:
        raise RuntimeError("a stochastic transform has nothing to draw from: call the network inside drawing(...)")
    if not given or clips % len(given):
        raise RuntimeError(f"{clips} clips for {len(given)} generators: give one for each clip")
    return list(given) * (clips // len(given))
