"""How fast a device computes: measured here, or a named GPU from what its maker publishes."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline_lib.configuration.requests import TERA
from pipeline_lib.errors import PipelineError, known


class Gpu(NamedTuple):
    """TFLOP/s of dense products as published, without sparsity; None for a precision that it does not have."""

    fp32: float
    tf32: float | None
    bf16: float | None
    source: str


GPUS: dict[str, Gpu] = {
    "a100": Gpu(19.5, 156, 312, "NVIDIA A100 Tensor Core GPU data sheet (SXM)"),
    "h100": Gpu(67, 494.7, 989.4, "NVIDIA H100 Tensor Core GPU data sheet (SXM; half of the values with sparsity)"),
    "h200": Gpu(67, 494.7, 989.4, "NVIDIA H200 Tensor Core GPU data sheet (half of the values with sparsity)"),
    "l40s": Gpu(91.6, 183, 362, "NVIDIA L40S data sheet (without sparsity)"),
    "rtx3090": Gpu(35.6, 35.6, 71, "NVIDIA Ampere GA102 GPU Architecture white paper (FP32 accumulation)"),
    "rtx4090": Gpu(82.6, 82.6, 165.2, "NVIDIA Ada GPU Architecture white paper (FP32 accumulation)"),
    "t4": Gpu(8.1, None, None, "NVIDIA T4 Tensor Core GPU data sheet"),
    "v100": Gpu(15.7, None, None, "NVIDIA V100 Tensor Core GPU data sheet (SXM2)"),
}
# The fraction of it that convolutions of clips reached on an H200 (benchmarks/README.md, *On a GPU*): in fp32 0.106 for
# 3D ResNet-18 and 0.057 for ResNeXt-101, in tf32 0.082 and 0.019, in bf16 0.061 and 0.010. Means; an assumption for
# other GPUs, which smaller ones exceed.
UTILIZATION = {"fp32": 0.08, "tf32": 0.05, "bf16": 0.035}
# A measurement ends after the first repetition that reaches these seconds.
SECONDS = 2.0


class Rate(NamedTuple):
    """Operations per second by precision, and in words where they are from. jobs: that run side by side. on_gpu: of a
    GPU."""

    by_precision: Mapping[str, float]
    jobs: int
    words: str
    on_gpu: bool

    def seconds(self, operations: float, precision: str) -> float:
        """Seconds of these operations when all jobs run side by side."""
        return operations / (self.by_precision[precision] * self.jobs)


class Settings(NamedTuple):
    """operations: of a call to one clip, with its elements (`Work.as_operations`). overhead: seconds of the call that
    are not those of its operations. clips: at once. threads: of a job. cuda: whether it uses a GPU."""

    operations: float
    overhead: float
    clips: int
    threads: int
    cuda: bool


def named(name: str) -> Rate:
    """The rate of a GPU of the table. Raises PipelineError for a name that it does not have."""
    key = name.lower().replace("nvidia", "").replace(" ", "").replace("-", "").replace("_", "").replace("geforce", "")
    if key not in GPUS:
        raise PipelineError(f"--gpu {name}: unknown (this machine is measured without it); {known(GPUS, key)}")
    gpu = GPUS[key]
    published = {"fp32": gpu.fp32, "tf32": gpu.tf32 or gpu.fp32, "bf16": gpu.bf16 or gpu.fp32}
    reached = {
        precision: value * TERA * UTILIZATION[precision if getattr(gpu, precision) else "fp32"]
        for precision, value in published.items()
    }
    words = ", ".join(f"{value / TERA:.3g} TFLOP/s in {precision}" for precision, value in reached.items())
    return Rate(reached, 1, f"one {name}: {words} of convolutions (assumed utilization; peak: {gpu.source})", True)


def measured(make: Callable[[Any], Callable[[], None]], settings: Settings) -> Rate:
    """The rate of this machine in a call that `make(device)` returns: a pass of some clips."""
    import torch

    threads, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    clips = settings.clips
    torch.set_num_threads(settings.threads)
    try:
        call = make(torch.device("cuda" if settings.cuda else "cpu"))
        call()
        took = _fastest(call)
        reached = clips * settings.operations / max(took - settings.overhead, took / 4)
    finally:
        torch.set_num_threads(threads)
    jobs = 1 if settings.cuda else max(cores // settings.threads, 1)
    where = torch.cuda.get_device_name() if settings.cuda else f"{jobs} jobs of {settings.threads} threads on this CPU"
    words = f"{where}: {reached / TERA:.3g} TFLOP/s each, measured on {clips} clip{'s' * (clips > 1)} in fp32"
    return Rate(dict.fromkeys(UTILIZATION, reached), jobs, words, settings.cuda)


def _fastest(call: Any) -> float:
    """The seconds of the fastest call, of as many as fit into `SECONDS`."""
    seconds: list[float] = []
    while sum(seconds) < SECONDS and len(seconds) < 50:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
