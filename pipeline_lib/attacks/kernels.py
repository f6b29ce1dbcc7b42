"""Weights of neighbors, for attacks that average over translations."""

from typing import Literal

import torch
from torch import Tensor

Weights = Literal["gaussian", "linear", "uniform"]
# Standard deviations of the Gaussian within the reach, as in the code of Dong et al. (CVPR 2019) and Wei et al. (2022).
DEVIATIONS = 3


def kernel(weights: Weights, reach: int) -> Tensor:
    """(2 * reach + 1,) in float64, symmetric, with the sum 1: the weights of translations by -reach to reach.

    gaussian: its deviation is a third of the reach. linear: it falls to 0 at reach + 1.
    """
    distances = torch.arange(-reach, reach + 1, dtype=torch.float64).abs()
    if weights == "gaussian":
        heights = torch.exp(-((DEVIATIONS * distances / max(reach, 1)) ** 2) / 2)
    else:
        heights = 1 - distances / (reach + 1) if weights == "linear" else torch.ones_like(distances)
    return heights / heights.sum()
