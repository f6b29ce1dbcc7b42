"""How much of its bound an attack uses, and that its own code leaves the clips alone that this is measured on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from pipeline_lib.entries.facts import layers
from pipeline_lib.errors import PipelineError

# In place of a gap or a ratio, which are not negative. Not NaN, which stays what it is: a loss that is not finite.
NOT_MEASURED = -1.0


def bound_ratio(attack: Any, clips: Tensor, clean: Tensor) -> np.ndarray:
    """(n,): how much of its bound an attack, or one that it wraps, uses; `NOT_MEASURED` where one states no bound."""
    if not all(hasattr(layer, "ratio_to_bound") for layer in layers(attack)):
        return np.full(len(clean), NOT_MEASURED)
    with unchanged_by(attack, clips, clean):
        return attack.ratio_to_bound(clips, clean).cpu().numpy()


@contextmanager
def unchanged_by(attack: Any, *tensors: Tensor) -> Iterator[None]:
    """Raises PipelineError if an attack, which is given these tensors inside, writes into them."""
    before = [tensor._version for tensor in tensors]
    yield
    if [tensor._version for tensor in tensors] != before:
        raise PipelineError(f"{type(attack).__name__} writes into the clips that quantize or ratio_to_bound is given")
