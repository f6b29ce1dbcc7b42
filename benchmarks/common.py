"""Shared by the benchmarks of networks: options, networks and clips, timing, and the format of ratios."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline_lib.clips.loader import as_clips
from pipeline_lib.jobs.adapter import torch_device
from pipeline_lib.models.trained import channels_last
from pipeline_lib.networks.resnet import ResNet3D, ResNeXt3D


class Known(NamedTuple):
    title: str
    method: Any
    fields: dict[str, Any]


NETWORKS = {
    "tiny": Known("tiny 3D ResNet-10", ResNet3D, {"depth": 10, "width": 16, "stem_kernel": 3, "stem_pool": False}),
    "resnet18": Known("3D ResNet-18", ResNet3D, {"depth": 18, "shortcut": "A"}),
    "resnext101": Known("3D ResNeXt-101", ResNeXt3D, {"depth": 101, "cardinality": 32}),
}


def parser_of(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="tiny", help="default: tiny")
    parser.add_argument("--full", dest="network", action="store_const", const="resnet18", help="--network resnet18")
    parser.add_argument("--frames", type=int, help="default: 16, or 8 of the tiny network")
    parser.add_argument("--size", type=int, help="default: 112, or 32 of the tiny network")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options with defaults filled in; device, threads and determinism are set as in a job."""
    options = parser.parse_args()
    tiny = options.network == "tiny"
    options.frames = options.frames or (8 if tiny else 16)
    options.size = options.size or (32 if tiny else 112)
    options.device = torch_device({"device": options.device, "threads": options.threads})
    return options


def network_and_clips(options: argparse.Namespace, classes: int = 101) -> tuple[nn.Module, Tensor]:
    """Both with seed 0, on the device, in the memory layout of jobs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        known = NETWORKS[options.network]
        network: nn.Module = known.method(**known.fields)(classes)
        frames = torch.randint(256, (options.batch, options.frames, options.size, options.size, 3), dtype=torch.uint8)
    return channels_last(network).to(options.device), as_clips(frames, options.device)


def headline(options: argparse.Namespace) -> str:
    network = NETWORKS[options.network].title
    clips = f"{options.batch} clips of {options.frames} x {options.size} x {options.size}"
    return f"\n{network}, {clips}, {options.device}, torch {torch.__version__}, {options.rounds} rounds\n"


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of one call, until the device has finished; CPU time on the CPU, which depends little on other processes."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    synchronize(device)
    start = clock()
    work()
    synchronize(device)
    return clock() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(work: Callable[[], object], device: torch.device) -> str:
    """Peak gigabytes of tensors in one call; torch counts only those of a GPU."""
    if device.type != "cuda":
        return "none"
    torch.cuda.reset_peak_memory_stats(device)
    work()
    synchronize(device)
    return f"{torch.cuda.max_memory_allocated(device) / 1e9:.2f}"


def spread(ratios: Iterable[float], digits: int = 3) -> str:
    """Median, and in parentheses the middle half: 1.046 (1.031 to 1.062)."""
    found = sorted(ratios)
    low, high = (found[round(fraction * (len(found) - 1))] for fraction in (0.25, 0.75))
    return f"{statistics.median(found):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
