"""Adaptive batch size: halved on out-of-memory errors, and saved for later jobs."""

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

# Out-of-memory messages of CUDA and its libraries, which torch raises as plain RuntimeErrors.
OUT_OF_MEMORY = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch means that the memory of the device is too small."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def _saved_size(memory: Path, size: int) -> int:
    """The saved batch size, at most `size`; a file without a valid number is ignored."""
    with suppress(ValueError):
        found = int(memory.read_text())
        return min(size, found) if found > 0 else size
    return size


class AdaptiveBatchSize:
    """Runs work on at most `size` clips at once, halved permanently each time that the memory is too small.

    Only for work whose clips are independent: networks in eval mode. The size that fits is written to the file
    `memory`, if given, from which the next job of its kind starts.
    """

    def __init__(self, size: int, memory: Path | None = None) -> None:
        self.size, self.memory = size, memory
        if memory is not None and memory.is_file():
            self.size = _saved_size(memory, size)

    def __call__(self, work: Callable[[slice], T], count: int) -> list[T]:
        """The results of `work` on consecutive slices of `count` clips. PipelineError if one clip does not fit."""
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
        LOGGER.warning("out of memory with %d clips at once: continuing with %d", clips, self.size)
        if self.memory is not None:
            with atomic_write(self.memory) as temporary:
                temporary.write_text(f"{self.size}\n")


def architecture(network: nn.Module) -> list[list[int]]:
    """A key of a network's architecture (the shapes of its parameters), independent of their values."""
    return [list(value.shape) for value in network.state_dict().values()]


def memory_of(folder: Path, device: torch.device, gpu_share: int, *work: Any) -> Path | None:
    """The file for one kind of work (plain data), kind of GPU and number of jobs on it; None on a CPU."""
    if device.type != "cuda":
        return None
    facts = torch.cuda.get_device_properties(device)
    return folder / digest(canonical([facts.name, facts.total_memory, gpu_share, *work]))
