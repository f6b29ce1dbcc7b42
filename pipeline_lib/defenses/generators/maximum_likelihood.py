"""Maximum likelihood of an autoregressive generator."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.entries.ranges import method
from pipeline_lib.records.selectors import GENERATOR_GUESS, GENERATOR_LOSS

BITS = 8.0  # of a level that is guessed


@method
class MaximumLikelihood:
    """The mean number of bits per value of an image, -log2 of its probability; a uniform guess has 8.

    Images, or each frame of clips. The accuracy in the history is the share of images with less than 8.
    """

    generates: ClassVar[str] = "likelihood"

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def objective(self, network: nn.Module, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        bits = -network(clips).squeeze(1).view(len(clips), -1).mean(1) / math.log(2)
        figures = {GENERATOR_LOSS: bits.mean(), GENERATOR_GUESS: torch.full_like(bits[0], BITS)}
        logits = torch.stack([BITS - bits, bits - BITS], 1)
        return Objective(bits.mean(), logits, torch.zeros_like(labels), figures)
