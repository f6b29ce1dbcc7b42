"""Batches that fit into the memory of a device: halved when they do not, and remembered."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.provenance.fingerprints import canonical, digest

T = TypeVar("T")

# What CUDA and its libraries say when they have no memory of their own: torch raises plain errors with their words.
OUT_OF_MEMORY = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that the memory of the device is too small."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def _remembered(memory: Path, size: int) -> int:
    """What fitted before, at most `size`; a file that holds no such number is passed over."""
    with suppress(ValueError):
        found = int(memory.read_text())
        return min(size, found) if found > 0 else size
    return size


class AdaptiveBatchSize:
    """Does work on at most `size` clips at once, and on half as many, from then on, when the memory is too small.

    Only for work whose clips do not depend on each other: networks in eval mode. What fitted is written to the file
    `memory`, where there is one, and the next job of its kind begins with it.
    """

    def __init__(self, size: int, memory: Path | None = None) -> None:
        self.size, self.memory = size, memory
        if memory is not None and memory.is_file():
            self.size = _remembered(memory, size)

    def __call__(self, work: Callable[[slice], T], count: int) -> list[T]:
        """The results of `work` on consecutive slices of `count` clips. PipelineError if one clip is too much."""
        done: list[T] = []
        start = 0
        while start < count:
            stop = min(start + self.size, count)
            try:
                done.append(work(slice(start, stop)))
                start = stop
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(stop - start, error)
            torch.cuda.empty_cache()
        return done

    def _halve(self, clips: int, error: RuntimeError) -> None:
        if clips == 1:
            raise PipelineError("out of memory with a single clip: use smaller clips or a larger GPU") from error
        self.size = clips // 2
        LOGGER.warning("out of memory with %d clips at once: going on with %d", clips, self.size)
        if self.memory is not None:
            with atomic_write(self.memory) as temporary:
                temporary.write_text(f"{self.size}\n")


def architecture(network: nn.Module) -> list[list[int]]:
    """What tells networks of other sizes apart, and not those that were trained otherwise."""
    return [list(value.shape) for value in network.state_dict().values()]


def memory_of(folder: Path, device: torch.device, gpu_share: int, *work: Any) -> Path | None:
    """The file for one kind of work (plain data) on one kind of GPU with so many jobs; on a CPU there is none."""
    if device.type != "cuda":
        return None
    facts = torch.cuda.get_device_properties(device)
    return folder / digest(canonical([facts.name, facts.total_memory, gpu_share, *work]))
