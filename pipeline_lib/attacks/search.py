"""Rectangles at the place where they raise the loss most (ROA's searches; Wu et al., ICLR 2020, phattacks)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.balls import per_clip
from pipeline_lib.attacks.losses import Loss, loss_and_gradient
from pipeline_lib.attacks.regions import RandomRectangle, fits_rectangle, rectangles
from pipeline_lib.errors import PipelineError
from pipeline_lib.ranges import Count, check_ranges

# Where this share of the places that were tried has the largest loss, it says nothing: the place is drawn.
UNDECIDED = 0.9


@dataclass(frozen=True, kw_only=True)
class SearchedRectangle:
    """One rectangle per frame, or one place for all frames of a video; every clip has its own.

    Upper left corners are multiples of `stride`. `exhaustive` tries all of them, one forward pass each. `gradient`
    takes one gradient at the clean clips and tries the `candidates` windows of largest squared gradient. A rectangle
    is tried with what it starts from (ROA: grey). Frames are searched one after the other, with the rectangles of
    earlier frames in place; that multiplies the passes by T. Where nine of ten places have the largest loss, or where
    it is 0, the place is drawn.
    """

    height: Count
    width: Count
    search: Literal["exhaustive", "gradient"]
    stride: Count = 1
    candidates: Count = 20
    per: Literal["frame", "video"] = "video"

    def __post_init__(self) -> None:
        check_ranges(self)

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Drawn, where no loss is there to search with."""
        drawn = RandomRectangle(height=self.height, width=self.width, last_position=True, per=self.per)
        return drawn.mask(clips, generators)

    def admits(self, changed: Tensor) -> Tensor:
        return fits_rectangle(changed, self.height, self.width, self.per)

    def place(self, loss: Loss, content: Tensor, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """bool (N, 1, T, H, W), or (N, 1, H, W) for images; `content`: what rectangles show, as large as the clips."""
        drawn = self.mask(clips, generators)
        mask, corners = torch.zeros_like(drawn), self._corners(clips)
        scores = self._scores(loss, clips) if self.search == "gradient" else None
        for frames in self._groups(clips):
            tried = self._tried(scores, frames, corners, clips)
            masks = (mask | frames & self._at(corners[which], clips) for which in tried.T)
            losses = [tried_loss(loss, torch.where(shown, content, clips)) for shown in masks]
            best, undecided = choice(torch.stack(losses))
            found = frames & self._at(corners[tried.gather(1, best[:, None])[:, 0]], clips)
            mask = mask | torch.where(per_clip(undecided, clips), drawn & frames, found)
        return mask

    def _corners(self, clips: Tensor) -> Tensor:
        """(P, 2): every upper left corner."""
        free = clips.shape[-2] - self.height, clips.shape[-1] - self.width
        if min(free) < 0:
            raise PipelineError(
                f"a rectangle of {self.height} x {self.width} has no position in frames of {clips.shape[-2]} x "
                f"{clips.shape[-1]}: choose a smaller height and width"
            )
        return torch.cartesian_prod(*(torch.arange(0, n + 1, self.stride, device=clips.device) for n in free))

    def _groups(self, clips: Tensor) -> Iterator[Tensor]:
        """bool (T, 1, 1), or () for images: frames that are searched together."""
        frames = clips.shape[2:-2]
        if self.per == "video" or not frames:
            yield torch.ones((), dtype=torch.bool, device=clips.device)
        else:
            yield from torch.eye(frames[0], dtype=torch.bool, device=clips.device)[:, :, None, None]

    def _scores(self, loss: Loss, clips: Tensor) -> Tensor:
        """(N, T, P), or (N, 1, P) for images: squared gradient at the clean clips in each window."""
        _, gradient = loss_and_gradient(loss, clips)
        # Each clip's own scale: squares of tiny gradients would vanish.
        size = gradient.abs().flatten(1).amax(1).clamp_min(torch.finfo(gradient.dtype).tiny)
        squares = (gradient / per_clip(size, clips)).square().sum(1)
        planes = squares.reshape(-1, 1, *clips.shape[-2:])
        windows = F.avg_pool2d(planes, (self.height, self.width), self.stride)
        return windows.reshape(len(clips), -1, windows[0].numel())

    def _tried(self, scores: Tensor | None, frames: Tensor, corners: Tensor, clips: Tensor) -> Tensor:
        """(N, K): which corners each clip tries in these frames."""
        if scores is None:
            return torch.arange(len(corners), device=clips.device).expand(len(clips), -1)
        together = (scores * frames.reshape(1, -1, 1)).sum(1)
        return together.topk(min(self.candidates, len(corners)), dim=1).indices

    def _at(self, corners: Tensor, clips: Tensor) -> Tensor:
        """(N, 2) -> bool (N, 1, 1, H, W), or (N, 1, H, W) for images."""
        one_frame = corners.view(-1, *[1] * (clips.dim() - 4), 2)
        return rectangles(one_frame, (self.height, self.width), clips.shape[-2:])


@torch.no_grad()
def tried_loss(loss: Loss, clips: Tensor) -> Tensor:
    return loss(clips)


def choice(losses: Tensor) -> tuple[Tensor, Tensor]:
    """(K, N) -> the index of each clip's largest loss, and whether it says nothing, both (N,)."""
    highest, best = losses.max(0)
    ties = (losses == highest).float().mean(0)
    return best, (highest == 0) | ((ties >= UNDECIDED) & (len(losses) > 1))
