"""Published framings: a file with strips around a picture, as the start of a `fixed_pattern` in a border."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pipeline_lib.entries.ranges import method
from pipeline_lib.errors import PipelineError, known

SIDES = 4


@method
class FramingFile:
    """A framing from a file, the same on all frames: sigmoid of four strips of logits (Zajac et al., AAAI 2019).

    The strips (channels, width, length, 4) surround a square picture of length + width pixels: the first is the top,
    without the right corner, the others the right side, the bottom and the left side, each with one corner.

    file: `.npz`, with the strips as its authors' code keeps them (`attack` of a checkpoint's `framing`).
    name: of the array in the file.
    """

    reads_file: ClassVar[str] = "file"

    file: str
    name: str

    def first(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """The clips with the framing; its inside is gray. Raises PipelineError for pictures of another size."""
        strips = read_strips(self.file, self.name)
        width, length = strips.shape[1:3]
        if clips.shape[-2:] != (length + width, length + width) or clips.shape[1] != len(strips):
            here = f"{clips.shape[1]} channels of {clips.shape[-2]} x {clips.shape[-1]}"
            words = (
                f"of width {width} around {length - width} x {length - width} pixels, and the padded clips have {here}"
            )
            raise PipelineError(f"{self.file}: the framing {self.name} has {len(strips)} channels, {words}")
        between = [1] * (clips.dim() - 4)
        framing = around(strips).sigmoid()
        return framing.view(len(framing), *between, *framing.shape[1:]).to(clips).expand_as(clips)

    def center(self, clips: Tensor, region: Tensor) -> Tensor:
        return clips


def around(strips: Tensor) -> Tensor:
    """Strips (C, width, length, 4) as a picture (C, length + width, length + width), 0 inside."""
    channels, width, length, _ = strips.shape
    side = length + width
    picture = strips.new_zeros(channels, side, side)
    top, right, bottom, left = strips.unbind(-1)
    picture[:, :width, :length] = top
    picture[:, :length, length:] = right.transpose(1, 2)
    picture[:, length:, width:] = bottom
    picture[:, width:, :width] = left.transpose(1, 2)
    return picture


@cache
def read_strips(file: str, name: str) -> Tensor:
    """The strips of a file, float32. Raises PipelineError for another file, or one without such an array."""
    try:
        with np.load(Path(file)) as arrays:
            names = list(arrays)
            strips = arrays[name] if name in names else None
    except (OSError, ValueError, TypeError) as error:
        raise PipelineError(f"{file} cannot be read as an .npz file of framings: {error}") from error
    if strips is None:
        raise PipelineError(f"{file}: there is no array {name!r}; {known(names, name)}")
    if strips.ndim != 4 or strips.shape[3] != SIDES or strips.shape[2] <= strips.shape[1]:
        raise PipelineError(f"{file}: {name} is {strips.shape}, expected strips (channels, width, length, {SIDES})")
    return torch.from_numpy(strips.astype(np.float32))
