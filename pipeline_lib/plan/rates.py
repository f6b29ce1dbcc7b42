"""How fast a device computes: measured here, or a named GPU from what its maker publishes."""

import os
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from pipeline_lib.configuration.pass_costs import Work
from pipeline_lib.configuration.requests import TERA
from pipeline_lib.errors import PipelineError, known
from pipeline_lib.precision import Precision, autocast, computing_in


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
    GPU. transforms: operations per second in transforms in front of a network, which compute in fp32, where they were
    measured."""

    by_precision: Mapping[str, float]
    jobs: int
    words: str
    on_gpu: bool
    transforms: float | None = None

    def seconds(self, work: Work, precision: str) -> float:
        """Seconds that a job of this work adds when all jobs run side by side."""
        inside = work.transforms_as_operations(self.on_gpu)
        network = (work.as_operations(self.on_gpu) - inside) / self.by_precision[precision]
        transforms = inside / (self.transforms or self.by_precision["fp32"])
        return (network + transforms + work.seconds) / self.jobs


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


def measured(
    make: Callable[[Any], Callable[[], None]], settings: Settings, precisions: Collection[Precision]
) -> dict[str, float]:
    """Operations per second of this machine, by precision, in a call that `make(device)` returns: a pass of some
    clips."""
    import torch

    threads, device = torch.get_num_threads(), torch.device("cuda" if settings.cuda else "cpu")
    torch.set_num_threads(settings.threads)
    try:
        call, found = make(device), dict[str, float]()
        for precision in precisions:
            with computing_in(precision), autocast(precision, device):
                call()
                took = _fastest(call)
            found[precision] = settings.clips * settings.operations / max(took - settings.overhead, took / 4)
        return found
    finally:
        torch.set_num_threads(threads)


def side_by_side(threads: int, cuda: bool) -> tuple[int, str]:
    """How many jobs of so many threads this machine runs at once, and where, in words."""
    import torch

    jobs = 1 if cuda else max(len(os.sched_getaffinity(0)) // threads, 1)
    return jobs, torch.cuda.get_device_name() if cuda else f"{jobs} jobs of {threads} threads on this CPU"


def _fastest(call: Any) -> float:
    """The seconds of the fastest call, of as many as fit into `SECONDS`."""
    seconds: list[float] = []
    while sum(seconds) < SECONDS and len(seconds) < 50:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
