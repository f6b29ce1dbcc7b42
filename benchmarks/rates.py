"""Rates of attacks and training on a GPU, relative to the forward-backward rate and to the GPU's peak rate.

    python benchmarks/rates.py                          # 3D ResNet-18 and ResNeXt-101, 16 and 40 frames of 112 x 112
    python benchmarks/rates.py --device cpu --tiny      # the same table of a tiny network

Two ceilings are measured first: a large matrix product, and a large copy. The unit of each row is a forward and
backward pass to the input with frozen parameters, in the same precision and the same run. A row ends with the fraction
of the matrix rate that this unit reaches; torch counts its floating point operations.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from attack import gradients
from common import NETWORKS, network_and_clips, peak_memory, seconds, synchronize
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline_lib.attacks import AdditiveLinf, Ascent, UniformNoise, craft
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.jobs.adapter import torch_device
from pipeline_lib.precision import Precision, autocast, computing_in
from pipeline_lib.randomness.generators import clip_generators

STEPS = 5
EPSILON = 4 / 255
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")


class Case(NamedTuple):
    """A network and the clips that pass through it at once."""

    network: str
    frames: int
    size: int
    batch: int


CASES = [
    Case("resnet18", 16, 112, 32),
    Case("resnet18", 40, 112, 16),
    Case("resnext101", 16, 112, 16),
    Case("resnext101", 40, 112, 8),
]
TINY = [Case("tiny", 8, 32, 8)]


def ceilings(device: torch.device) -> dict[str, float]:
    """Operations per second of a matrix product in each precision, and bytes read and written per second by a copy."""
    size = 8192 if device.type == "cuda" else 512
    found: dict[str, float] = {}
    for precision in PRECISIONS:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        with computing_in(precision):
            found[precision] = 2 * size**3 / median(partial(torch.mm, a, b), device, 5)
    block = torch.randn(size * size * 4, device=device)
    found["copy"] = 2 * block.numel() * 4 / median(block.clone, device, 5)
    return found


def median(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Median seconds of a call, after one unmeasured call."""
    work()
    return statistics.median(seconds(work, device) for _ in range(rounds))


def operations(network: nn.Module, clips: Tensor) -> int:
    """Floating point operations of a forward-backward pass to the input: both directions have the same number."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(clips)
    return 2 * counter.get_total_flops()


def pass_work(network: nn.Module, clips: Tensor, labels: Tensor, precision: Any) -> None:
    with autocast(precision, clips.device):
        gradients(network, clips, labels, STEPS)


def step_work(network: nn.Module, clips: Tensor, labels: Tensor, precision: Any, defense: Defense) -> None:
    network.train().zero_grad(set_to_none=True)
    with autocast(precision, clips.device):
        outcome = defense.objective(network, clips, labels, lambda name: clip_generators(0, [name] * len(clips)))
    outcome.loss.backward()


def works(network: nn.Module, clips: Tensor, precision: Any) -> dict[str, tuple[Callable[[], object], int]]:
    """The functions to time, with their numbers of passes; a training pass also computes gradients of the weights."""
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)
    attack = Ascent(
        perturbation=AdditiveLinf(epsilon=EPSILON, step_size=1 / 255), start=UniformNoise(radius=EPSILON), steps=STEPS
    )
    own = Ascent(perturbation=attack.perturbation, start=attack.start, steps=STEPS, precision="bf16")
    used = own if precision == "bf16" else attack
    return {
        "forward and backward": (partial(pass_work, network, clips, labels, precision), STEPS),
        "PGD-5": (partial(craft, network, clips, labels, used), STEPS),
        "standard step": (partial(step_work, network, clips, labels, precision, Standard()), 1),
        "AT-PGD-5 step": (partial(step_work, network, clips, labels, precision, AdversarialTraining(attack=attack)), 6),
    }


def rows(case: Case, device: torch.device, rounds: int, limits: dict[str, float]) -> Iterator[str]:
    options = argparse.Namespace(**case._asdict(), device=device)
    network, clips = network_and_clips(options)
    flops = operations(network, clips)
    for precision in PRECISIONS:
        with computing_in(precision):
            timed = works(network.eval(), clips, precision)
            unit = median(timed["forward and backward"][0], device, rounds) / STEPS
            for name, (work, passes) in timed.items():
                taken = unit * STEPS if name == "forward and backward" else median(work, device, rounds)
                rate, share = case.batch / taken, flops / unit / limits[precision]
                yield (
                    f"| {NETWORKS[case.network].title} | {case.batch} x {case.frames} x {case.size} | {precision} | "
                    f"{name} | {1000 * taken:.1f} | {rate:.1f} | {taken / unit / passes:.3f} | {share:.2f} | "
                    f"{peak_memory(work, device)} |"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny network")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no further network is started after these")
    options = parser.parse_args()
    device, start = torch_device({"device": options.device, "threads": 2}), time.monotonic()
    limits = ceilings(device)
    print("matrix product, TFLOP/s: " + ", ".join(f"{name} {limits[name] / 1e12:.0f}" for name in PRECISIONS))
    print(f"copy, TB/s read and written: {limits['copy'] / 1e12:.2f}\n")
    print("| network | clips | precision | work | ms | clips/s | over its passes | share of matrix rate | GB |")
    print("|---|---|---|---|---:|---:|---:|---:|---:|", flush=True)
    for case in TINY if options.tiny else CASES:
        if time.monotonic() - start > options.seconds:
            print(f"| {NETWORKS[case.network].title} | {case.frames} frames | not started: out of time | | | | | | |")
            continue
        for row in rows(case, device, options.rounds, limits):
            print(row, flush=True)
    synchronize(device)


if __name__ == "__main__":
    main()
