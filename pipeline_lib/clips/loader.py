"""Converts frames on disk, (N, T, H, W, C), to clips for networks, (N, C, T, H, W) float32 in [0, 1], and back.

Frames are uint8; those of adversarial sets that are not on the 8-bit lattice are float32 in [0, 1].

For a network on a GPU, one thread reads the next batches during the computation on the current one.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

# Batches read ahead.
AHEAD = 2


class ClipSet(Protocol):
    """Clean or adversarial clips: `read` returns frames (n, T, H, W, C), in the array `into` if one is given."""

    labels: np.ndarray
    videos: list[str]

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int] | np.ndarray, into: np.ndarray | None = None) -> np.ndarray: ...


def as_clips(frames: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """Frames (N, T, H, W, C) as clips (N, C, T, H, W) float32 in [0, 1] on the device; float32 ones keep their values.

    uint8 frames are copied to the device as bytes, a quarter of the size; from pinned memory the copy is asynchronous.
    """
    clips = torch.as_tensor(frames).to(device, non_blocking=True).permute(0, 4, 1, 2, 3)
    return clips if clips.is_floating_point() else clips.float().div_(255)


def as_frames(clips: Tensor) -> np.ndarray:
    """Clips (N, C, T, H, W) in [0, 1] rounded to frames (N, T, H, W, C) uint8; the exact inverse of `as_clips`."""
    levels = clips.detach().float().mul(255).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()


def as_float_frames(clips: Tensor) -> np.ndarray:
    """Clips (N, C, T, H, W) as frames (N, T, H, W, C) float32, bit for bit; `as_clips` is the inverse."""
    return clips.detach().float().permute(0, 2, 3, 4, 1).contiguous().cpu().numpy()


def batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive batches of `size` of the `rows`; the last may be smaller."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def batch_of(step: int, *, steps_per_epoch: int, count: int, size: int, seed: int) -> np.ndarray:
    """The rows of a step's batch among `count` clips: every epoch has its own order, drawn from (seed, epoch)."""
    epoch, place = divmod(step, steps_per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[place * size : (place + 1) * size]


class Prefetched:
    """Batches of frames in the order of their rows, read ahead by one thread; use it in a `with` statement.

    For a network on the CPU each batch is read on demand: a thread would compete for the network's cores, and its
    memory costs page faults. Frames are tensors (n, T, H, W, C) on the host, pinned for a GPU, and valid until the
    next iteration.
    waited: seconds that the consumer waited for data.
    """

    def __init__(self, data: ClipSet, rows: Iterable[np.ndarray], device: torch.device) -> None:
        self.rows = iter(rows)
        self.memory: FreshMemory | PinnedMemory = PinnedMemory(data) if device.type == "cuda" else FreshMemory(data)
        self.waited = 0.0
        self.began = time.monotonic()
        # A new thread uses the first GPU, not the current GPU of the thread that created it.
        chosen = torch.cuda.set_device if device.index is not None and device.type == "cuda" else lambda device: None
        threaded = device.type != "cpu"
        self._pool = ThreadPoolExecutor(1, "prefetch", chosen, (device,)) if threaded else None

    def __enter__(self) -> "Prefetched":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """(rows, frames) of each batch. An error while reading is raised at its batch."""
        pending = deque((rows, self._reading(rows)) for rows in islice(self.rows, AHEAD))
        while pending:
            self.memory.release()
            pending.extend((rows, self._reading(rows)) for rows in islice(self.rows, 1))
            rows, result = pending.popleft()
            start = time.monotonic()
            frames = result()
            self.waited += time.monotonic() - start
            yield rows, frames

    def _reading(self, rows: np.ndarray) -> Callable[[], Tensor]:
        """A function that returns the frames; reading starts now if there is a thread."""
        if self._pool is None:
            return partial(self.memory.read, rows)
        return self._pool.submit(self.memory.read, rows).result

    def fraction_waited(self) -> float:
        """Fraction of the time since the start spent waiting, from 0 to 1."""
        return self.waited / max(time.monotonic() - self.began, 1e-9)


class FreshMemory:
    """New memory for every batch."""

    def __init__(self, data: ClipSet) -> None:
        self.data = data

    def read(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.data.read(rows))

    def release(self) -> None:
        pass


class PinnedMemory:
    """A ring of page-locked buffers, from which a GPU copies asynchronously.

    A buffer is filled again when the copies out of it have finished.
    """

    def __init__(self, data: ClipSet) -> None:
        self.data = data
        self.buffers: list[Tensor] = [torch.empty(0, dtype=torch.uint8)] * (AHEAD + 1)
        self.copied: list[torch.cuda.Event | None] = [None] * (AHEAD + 1)
        self.read_so_far = self.released = 0

    def read(self, rows: np.ndarray) -> Tensor:
        place = self.read_so_far % len(self.buffers)
        self.read_so_far += 1
        event = self.copied[place]
        if event is not None:
            event.synchronize()
        if len(self.buffers[place]) < len(rows):
            self.buffers[place] = torch.from_numpy(self.data.read(rows)).pin_memory()
            return self.buffers[place]
        frames = self.buffers[place][: len(rows)]
        self.data.read(rows, frames.numpy())
        return frames

    def release(self) -> None:
        """Called when the consumer has queued all its copies out of the previous batch."""
        if self.released:
            event = torch.cuda.Event()
            event.record()
            self.copied[(self.released - 1) % len(self.buffers)] = event
        self.released += 1
