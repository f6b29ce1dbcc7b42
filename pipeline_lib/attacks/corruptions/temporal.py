"""Another order or rate of the frames (UCF101-P: sampling, reverse sampling, jumbling, box jumbling, freezing)."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pipeline_lib.attacks.frame_order import in_order
from pipeline_lib.attacks.perturbations import on_lattice
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.entries.ranges import Severity, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.pictures import frames_of
from pipeline_lib.randomness.generators import require_one_each

# By severity: factor of the rate; number of boxes for the others, from many to few, as fractions of the frames.
RATES = (2, 3, 4, 6, 8)
BOXES = (0.5, 0.375, 0.25, 0.125, 0.0)
FROZEN = (0.2, 0.35, 0.5, 0.65, 0.8)


@method
class TemporalCorruption:
    """Frames of the clip in another order; its length stays the same.

    `sampling`: every r-th frame, each repeated r times, as a lower frame rate shows them; `reverse`: the same
    backwards; `jumble`: frames are permuted inside boxes of consecutive frames; `box_jumble`: the boxes are; `freeze`:
    a fraction of the frames, drawn, repeats the frame before it.

    kind: of the order.
    severity: 1 to 5; the values are ours, as UCF101-P prints none.
    """

    at_least_frames: ClassVar[str] = "2"

    kind: Literal["sampling", "reverse", "jumble", "box_jumble", "freeze"]
    severity: Severity = 3

    def __call__(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        require_one_each(generators, clips)
        if frames_of(clips) < 2:
            raise PipelineError("a temporal corruption needs clips of two frames or more: these are too short")
        orders = [self._order(clips.shape[2], generator) for generator in generators]
        return in_order(clips, torch.stack(orders).to(clips.device))

    def _order(self, frames: int, generator: torch.Generator) -> Tensor:
        """(frames,): the source of each frame."""
        index = torch.arange(frames)
        if self.kind in ("sampling", "reverse"):
            held = index // RATES[self.severity - 1] * RATES[self.severity - 1]
            return held if self.kind == "sampling" else held.flip(0)
        if self.kind == "freeze":
            frozen = torch.rand(frames, generator=generator) < FROZEN[self.severity - 1]
            return torch.where(frozen, 0, index).cummax(0).values
        boxes = index.tensor_split(max(1 if self.kind == "jumble" else 2, round(frames * BOXES[self.severity - 1])))
        if self.kind == "jumble":
            return torch.cat([box[torch.randperm(len(box), generator=generator)] for box in boxes])
        return torch.cat([boxes[which] for which in torch.randperm(len(boxes), generator=generator).tolist()])

    def quantize(self, adversarial: Tensor, clean: Tensor) -> Tensor:
        return on_lattice(adversarial)
