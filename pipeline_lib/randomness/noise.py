"""Noise for batches of clips, with one generator per clip."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pipeline_lib.randomness.generators import require_one_each

Fill = Callable[[Tensor, torch.Generator], Tensor]
"""Overwrites one clip's noise in place, e.g. `lambda noise, generator: noise.normal_(generator=generator)`."""


def noise_like(clips: Tensor, generators: Sequence[torch.Generator], fill: Fill) -> Tensor:
    """Noise shaped as the clips, on their device: the same numbers on any device and in any batch.

    They are drawn on the CPU. For a GPU, which would wait for them, parallel threads draw into pinned memory, so that
    the copy is asynchronous. For a network on the CPU, threads would only compete for its cores.
    """
    require_one_each(generators, clips)
    on_gpu = clips.device.type == "cuda"
    noise = torch.empty(clips.shape, pin_memory=on_gpu)
    if on_gpu:
        fill_in_threads(noise, generators, fill, torch.get_num_threads())
    else:
        fill_each(noise, generators, fill)
    return noise.to(clips, non_blocking=on_gpu)


def normal_like(clips: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """`noise_like` of the standard normal distribution."""
    return noise_like(clips, generators, lambda noise, generator: noise.normal_(generator=generator))


def fill_each(noise: Tensor, generators: Sequence[torch.Generator], fill: Fill) -> None:
    """Fills the noise clip by clip."""
    for clip, generator in zip(noise, generators, strict=True):
        fill(clip, generator)


def fill_in_threads(noise: Tensor, generators: Sequence[torch.Generator], fill: Fill, threads: int) -> None:
    """`fill_each` in parallel threads, each with consecutive clips; torch releases the GIL while it draws."""
    size = -(-len(noise) // threads) or 1
    starts = range(0, len(noise), size)

    def fill_some(start: int) -> None:
        # A tensor created in inference mode can only be written in that mode; in it, all tensors can be.
        with torch.inference_mode():
            fill_each(noise[start : start + size], generators[start : start + size], fill)

    with ThreadPoolExecutor(threads, "noise") as pool:
        list(pool.map(fill_some, starts))
