"""Norm balls around clips: lengths, projections, and the 8-bit clips inside them.

A length is computed over the dimensions of a group of elements: by default all elements of a clip.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# In gray levels: far above the rounding of float32, far below a level.
TOLERANCE = 1e-4
# Relative to a bound, for float64 sums: far above their rounding, far below a gray level.
SLACK = 1e-9
# Number of bisections: enough for all digits of float32.
HALVINGS = 30


def of_clip(clips: Tensor) -> tuple[int, ...]:
    """The dimensions of one clip in a batch, (N, C, T, H, W) or (N, C, H, W)."""
    return tuple(range(1, clips.dim()))


def per_clip(values: Tensor, clips: Tensor) -> Tensor:
    """(N,) -> (N, 1, ..., 1), one value for all elements of each clip."""
    return values.view(-1, *[1] * (clips.dim() - 1))


def l2_norm(delta: Tensor, dims: Sequence[int]) -> Tensor:
    """l2 norm over `dims`, which keep size 1."""
    return torch.linalg.vector_norm(delta, dim=list(dims), keepdim=True)


def unit(delta: Tensor, dims: Sequence[int]) -> Tensor:
    """delta / ||delta||_2 over `dims`, exact where squares underflow or overflow; 0 for a zero vector."""
    largest = delta.abs().amax(list(dims), keepdim=True)
    scaled = delta / torch.where(largest > 0, largest, 1)
    return scaled / l2_norm(scaled, dims).clamp_min(1)


def over_mean(delta: Tensor) -> Tensor:
    """delta over the mean absolute value of each clip; 0 for a zero clip."""
    mean = delta.abs().mean(of_clip(delta), keepdim=True)
    return delta / torch.where(mean == 0, 1, mean)


def onto_l2_ball(delta: Tensor, radius: float, dims: Sequence[int]) -> Tensor:
    """The nearest point of the ball: a change outside of it is scaled."""
    return delta * (radius / l2_norm(delta, dims).clamp_min(radius))


def onto_l1_ball(delta: Tensor, radius: float) -> Tensor:
    """The nearest point of the l1 ball, clip by clip (Duchi et al., 2008): all magnitudes shrink by one amount."""
    sizes = delta.abs().flatten(1)
    outside = sizes.sum(1) > radius
    if not outside.any():
        return delta
    shrink = torch.zeros_like(sizes[:, 0])
    shrink[outside] = _shrinkage(sizes[outside], radius)
    return delta.sign() * (delta.abs() - per_clip(shrink, delta)).clamp_min(0)


def onto_l1_ball_in_box(delta: Tensor, center: Tensor, radius: float) -> Tensor:
    """The nearest change inside the l1 ball that leaves center + delta in [0, 1], clip by clip.

    All magnitudes shrink by one amount, found by bisection, and are then clipped to the box (Croce and Hein, 2021).
    """
    sizes, room = delta.abs(), torch.where(delta > 0, 1 - center, center)

    def shrunk(amount: Tensor) -> Tensor:
        return torch.minimum((sizes - per_clip(amount, delta)).clamp_min(0), room)

    low = torch.zeros(len(delta), device=delta.device, dtype=delta.dtype)
    high = torch.where(shrunk(low).flatten(1).sum(1) > radius, sizes.flatten(1).amax(1), 0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        outside = shrunk(middle).flatten(1).sum(1) > radius
        low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
    return delta.sign() * shrunk(high)


def _shrinkage(sizes: Tensor, radius: float) -> Tensor:
    """(N, E) magnitudes whose sum is above `radius` -> (N,) the amount to subtract from each of them, down to 0."""
    falling = sizes.double().sort(dim=1, descending=True).values
    ranks = torch.arange(1, sizes.shape[1] + 1, device=sizes.device)
    shrinks = (falling.cumsum(1) - radius) / ranks
    last = (falling > shrinks).sum(1, keepdim=True) - 1
    return shrinks.gather(1, last)[:, 0].to(sizes)


def levels_inside(
    adversarial: Tensor, clean: Tensor, weight: Tensor, *, power: int, limit: float, dims: Sequence[int]
) -> Tensor:
    """Multiples of 1/255 near `adversarial` with sum(weight * |levels away from clean| ** power) <= limit.

    The sum is over `dims`. Computed clip by clip: sorting a batch of videos at once would take gigabytes.
    """
    tail = tuple(range(-len(dims), 0))
    fitted = []
    for clip in zip(adversarial.split(1), clean.split(1), weight.split(1), strict=True):
        target, center, weights = (values.double().movedim(tuple(dims), tail) for values in clip)
        flat = [values.flatten(-len(dims)) for values in (target * 255, _snapped(center * 255), weights)]
        levels = _fit(*flat, power=power, limit=limit * (1 + SLACK))
        fitted.append(levels.view(target.shape).movedim(tail, tuple(dims)))
    return torch.cat(fitted).to(adversarial) / 255


def _snapped(levels: Tensor) -> Tensor:
    """Whole levels where float32 rounding missed them: over millions of elements the differences would add up."""
    whole = levels.round()
    return torch.where((levels - whole).abs() < TOLERANCE, whole, levels)


def _fit(target: Tensor, center: Tensor, weight: Tensor, *, power: int, limit: float) -> Tensor:
    """(..., E) the nearest gray levels; as many as the limit requires are moved one level towards the center.

    Elements with the largest saving per added distance are moved first. One level is enough: rounding adds half.
    """
    nearest = target.round()
    away = (nearest - center).abs()
    saved = weight * (away**power - (away - 1).clamp_min(0) ** power)
    added = 1 + 2 * ((target - center).abs() - away)
    order = torch.where(saved > 0, added / saved, torch.inf).argsort(-1)
    savings = saved.gather(-1, order)
    excess = (weight * away**power).sum(-1, keepdim=True) - limit
    short = savings.cumsum(-1) - savings < excess
    moved = torch.zeros_like(short).scatter(-1, order, short)
    return nearest - moved * (nearest - center).sign()
