"""What the benchmarks of networks share: options, networks and clips, the clock, and how a ratio is told."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_lib.models.resnet import ResNet3D

TINY = {"depth": 10, "width": 16, "stem_kernel": 3, "stem_pool": False}
FULL = {"depth": 18, "shortcut": "A"}


def parser_of(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="3D ResNet-18 at 112 x 112, not a tiny network at 32 x 32")
    parser.add_argument("--frames", type=int, help="default: 8, or 16 with --full")
    parser.add_argument("--size", type=int, help="default: 32, or 112 with --full")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, with their defaults filled in and the threads set."""
    options = parser.parse_args()
    options.frames = options.frames or (16 if options.full else 8)
    options.size = options.size or (112 if options.full else 32)
    options.network = FULL if options.full else TINY
    torch.set_num_threads(options.threads)
    return options


def network_and_clips(options: argparse.Namespace, classes: int = 101) -> tuple[nn.Module, Tensor]:
    """Both with seed 0, on the device."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: Any = ResNet3D(**options.network)(classes)
        clips = torch.rand(options.batch, 3, options.frames, options.size, options.size)
    return network.to(options.device), clips.to(options.device)


def headline(options: argparse.Namespace) -> str:
    network = "3D ResNet-18" if options.full else "tiny 3D ResNet-10"
    clips = f"{options.batch} clips of {options.frames} x {options.size} x {options.size}"
    return f"\n{network}, {clips}, {options.device}, torch {torch.__version__}, {options.rounds} rounds\n"


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of one call, until the device has finished: CPU time on the CPU, which other processes hardly disturb."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    synchronize(device)
    start = clock()
    work()
    synchronize(device)
    return clock() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(ratios: Iterable[float], digits: int = 3) -> str:
    """Median, and in parentheses the middle half: 1.046 (1.031 to 1.062)."""
    found = sorted(ratios)
    low, high = (found[round(share * (len(found) - 1))] for share in (0.25, 0.75))
    return f"{statistics.median(found):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
