"""PGD against its floor: as many forward and backward passes to the input, with frozen parameters.

    python benchmarks/attack.py                        # a tiny network on the CPU
    python benchmarks/attack.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112

Both are timed in turn in one run; the ratio is the median over pairs, so that a slow spell of the machine hits both.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import Loss, attacking, cross_entropy
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.randomness import clip_generators
from pipeline_lib.attacks.starts import UniformNoise
from pipeline_lib.models.resnet import ResNet3D

TINY = ResNet3D(depth=10, width=16, stem_kernel=3, stem_pool=False)
FULL = ResNet3D(depth=18, shortcut="A")


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


def floor(loss: Loss, clips: Tensor, steps: int) -> None:
    for _ in range(steps):
        torch.autograd.grad(loss(clips).sum(), clips)


def compare(network: nn.Module, clips: Tensor, steps: int, rounds: int) -> list[tuple[float, float]]:
    """(floor, PGD) in seconds, `rounds` pairs in alternating order after one unmeasured pair."""
    attack = Ascent(
        perturbation=AdditiveLinf(epsilon=4 / 255, step_size=1 / 255), start=UniformNoise(radius=4 / 255), steps=steps
    )
    loss = cross_entropy(network, torch.zeros(len(clips), dtype=torch.long, device=clips.device))
    generators = clip_generators(0, [str(i) for i in range(len(clips))], clips.device)
    leaf = clips.clone().requires_grad_()

    works: list[Callable[[], object]] = [lambda: floor(loss, leaf, steps), lambda: attack(loss, clips, generators)]
    pairs = []
    with attacking(network):
        for i in range(rounds + 1):
            order = (0, 1) if i % 2 else (1, 0)
            times = {k: seconds(works[k], clips.device) for k in order}
            pairs.append((times[0], times[1]))
    return pairs[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="3D ResNet-18 at 112 x 112, not a tiny network at 32 x 32")
    parser.add_argument("--frames", type=int, help="default: 8, or 16 with --full")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    frames = options.frames or (16 if options.full else 8)
    size = 112 if options.full else 32
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = (FULL if options.full else TINY)(101).to(options.device)
        clips = torch.rand(options.batch, 3, frames, size, size).to(options.device)
    pairs = compare(network, clips, options.steps, options.rounds)
    table(pairs, options)


def table(pairs: list[tuple[float, float]], options: argparse.Namespace) -> None:
    floors, attacks = zip(*pairs, strict=True)
    ratios = sorted(attack / base for base, attack in pairs)
    print(f"\n{'3D ResNet-18' if options.full else 'tiny 3D ResNet-10'}, {options.device}, torch {torch.__version__}\n")
    print("| work | ms per batch | clips/s | share of the floor |\n|---|---:|---:|---:|")
    for name, times, ratio in (
        (f"floor: {options.steps} x (forward + backward)", floors, "1"),
        (f"PGD-{options.steps}", attacks, f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"),
    ):
        median = statistics.median(times)
        print(f"| {name} | {median * 1000:.1f} | {options.batch / median:.1f} | {ratio} |")


if __name__ == "__main__":
    main()
