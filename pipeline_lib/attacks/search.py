"""Rectangles at the place where they raise the loss most (ROA's searches; Wu et al., ICLR 2020, phattacks)."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline_lib.attacks.losses import loss_and_gradient
from pipeline_lib.attacks.norms import per_clip
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.attacks.regions import fits_rectangle, rectangles
from pipeline_lib.entries.ranges import Count, Fraction, method
from pipeline_lib.errors import PipelineError

# If this fraction of the positions has the largest loss, the search is undecided: the position is drawn.
UNDECIDED = 0.9


@method
class SearchedRectangle:
    """One rectangle per frame, or one position for all frames of a video; found for each clip.

    Upper left corners are multiples of `stride`; the authors' grid has (H - height) // stride rows, and columns by
    the same formula, so that its last ones are never used: the default. last_position: with them.
    `exhaustive` tries every position, one forward pass each; where nine of ten have the largest loss, or where it is
    0, the position is drawn. (The authors count the positions that equal the largest loss so far, so that one more tie
    than here is needed; and they also draw where the many ties were surpassed later.) `gradient` computes one gradient
    at the clean clips and tries the `candidates` windows of largest squared gradient; of equal ones it keeps the first.
    A rectangle is tried in gray of brightness `tried`, independent of the attack's start. Frames are searched in
    sequence, with the rectangles of earlier frames in place; that multiplies the passes by T.

    height, width: sides in pixels.
    search: `exhaustive` or `gradient`.
    stride: of the grid in pixels.
    candidates: positions that `gradient` tries.
    tried: brightness of the gray, 0 to 1.
    per: a position for each `frame`, or one for all frames of a `video`.
    """

    # Calls of the loss in `place`: one per position that is tried, and one for a gradient.
    passes: ClassVar[str] = (
        "(frames if per == 'frame' else 1) * min(places(height, width, stride, last_position),"
        " candidates if search == 'gradient' else inf) + (search == 'gradient')"
    )
    forwards: ClassVar[str] = (
        "(frames if per == 'frame' else 1) * min(places(height, width, stride, last_position),"
        " candidates if search == 'gradient' else inf)"
    )

    at_least_pixels: ClassVar[str] = "max(height, width) + (0 if last_position else stride)"

    height: Count
    width: Count
    search: Literal["exhaustive", "gradient"]
    stride: Count = 1
    last_position: bool = False
    candidates: Count = 20
    tried: Fraction = 0.5
    per: Literal["frame", "video"] = "video"

    def mask(self, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """A random position of the grid, for use without a loss."""
        corners, frames = self._corners(clips), clips.shape[2:-2]
        shape = tuple(frames) if self.per == "frame" else (1,) * len(frames)
        which = [torch.randint(len(corners), shape, generator=g) for g in generators]
        drawn = corners[torch.stack(which).to(clips.device)]
        return rectangles(drawn.expand(-1, *frames, -1), (self.height, self.width), clips.shape[-2:])

    def admits(self, changed: Tensor) -> Tensor:
        return fits_rectangle(changed, self.height, self.width, self.per)

    def place(self, loss: Loss, clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """bool (N, 1, T, H, W), or (N, 1, H, W) for images."""
        mask, corners = torch.zeros_like(clips[:, :1], dtype=torch.bool), self._corners(clips)
        scores = self._scores(loss, clips) if self.search == "gradient" else None
        drawn = self.mask(clips, generators) if scores is None else None
        for frames in self._groups(clips):
            tried = self._candidates(scores, frames, corners, clips)
            masks = (mask | frames & self._at(corners[which], clips) for which in tried.T)
            losses = torch.stack([tried_loss(loss, torch.where(shown, self.tried, clips)) for shown in masks])
            best = tried.gather(1, losses.argmax(0)[:, None])[:, 0]
            found = frames & self._at(corners[best], clips)
            if drawn is not None:
                found = torch.where(per_clip(undecided(losses), clips), drawn & frames, found)
            mask = mask | found
        return mask

    def _grid(self, clips: Tensor) -> tuple[int, int]:
        """Number of rows and columns of positions."""
        free = clips.shape[-2] - self.height, clips.shape[-1] - self.width
        grid = free[0] // self.stride + self.last_position, free[1] // self.stride + self.last_position
        if min(grid) < 1:
            raise PipelineError(
                f"a rectangle of {self.height} x {self.width} has no position in frames of {clips.shape[-2]} x "
                f"{clips.shape[-1]} at stride {self.stride}: choose a smaller height, width and stride (or "
                "last_position: true)"
            )
        return grid

    def _corners(self, clips: Tensor) -> Tensor:
        """(P, 2): every upper left corner."""
        return torch.cartesian_prod(*(self.stride * torch.arange(n, device=clips.device) for n in self._grid(clips)))

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
        # Scaled per clip: squares of tiny gradients would underflow.
        size = gradient.abs().flatten(1).amax(1).clamp_min(torch.finfo(gradient.dtype).tiny)
        squares = (gradient / per_clip(size, clips)).square().sum(1)
        planes = squares.reshape(-1, 1, *clips.shape[-2:])
        windows = F.avg_pool2d(planes, (self.height, self.width), self.stride)
        rows, columns = self._grid(clips)
        return windows[..., :rows, :columns].reshape(len(clips), -1, rows * columns)

    def _candidates(self, scores: Tensor | None, frames: Tensor, corners: Tensor, clips: Tensor) -> Tensor:
        """(N, K): indices of the corners that are tried for each clip in these frames."""
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


def undecided(losses: Tensor) -> Tensor:
    """(K, N) -> (N,): whether the losses of a clip's positions decide for none of them."""
    highest = losses.amax(0)
    ties = (losses == highest).float().mean(0)
    return (highest == 0) | ((ties >= UNDECIDED) & (len(losses) > 1))
