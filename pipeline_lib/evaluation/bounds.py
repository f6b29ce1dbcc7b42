"""Ratio of a perturbation to its bound, and a check that the attack's code does not modify the measured clips."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from pipeline_lib.entries.facts import layers
from pipeline_lib.errors import PipelineError

# In place of a gap or a ratio, which are not negative. NaN is reserved for a loss that is not finite.
NOT_MEASURED = -1.0


def bound_ratio(attack: Any, clips: Tensor, clean: Tensor) -> np.ndarray:
    """(n,): ratio to the attack's bound; `NOT_MEASURED` if the attack, or one that it wraps, states no bound."""
    if not all(hasattr(layer, "ratio_to_bound") for layer in layers(attack)):
        return np.full(len(clean), NOT_MEASURED)
    with unchanged_by(attack, clips, clean):
        return attack.ratio_to_bound(clips, clean).cpu().numpy()


@contextmanager
def unchanged_by(attack: Any, *tensors: Tensor) -> Iterator[None]:
    """Raises PipelineError if the attack writes into these tensors inside the `with` statement."""
    before = [tensor._version for tensor in tensors]
    yield
    if [tensor._version for tensor in tensors] != before:
        raise PipelineError(f"{type(attack).__name__} writes into the arguments of quantize or ratio_to_bound")
