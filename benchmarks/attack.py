"""Attacks against their floor: as many forward and backward passes to the input, with frozen parameters.

    python benchmarks/attack.py                        # a tiny network on the CPU
    python benchmarks/attack.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112
    python benchmarks/attack.py --full --all           # every attack

PGD of torchattacks, foolbox, ART and cleverhans runs beside ours where they are installed, called as their READMEs do.
All take their turns in one run; a ratio is the median over rounds, so that a slow spell of the machine hits all.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from common import headline, network_and_clips, parsed, parser_of, peak_memory, seconds, spread
from libraries import installed
from torch import Tensor, nn

from pipeline_lib.attacks import (
    AdditiveL2,
    AdditiveLinf,
    Ascent,
    Border,
    Constant,
    RandomPixels,
    RandomRectangle,
    RatioL2,
    RatioLinf,
    UniformBox,
    UniformNoise,
    craft,
)
from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.precision import computing_in

EPSILON, STEP = 4 / 255, 1 / 255


class Timed(NamedTuple):
    """Something to time, and how many forward and backward passes its floor has."""

    work: Callable[[], object]
    passes: int


def ours(steps: int, size: int) -> dict[str, Ascent]:
    """The papers' attacks at their settings for 112 x 112, regions scaled to the size."""
    paint = AdditiveLinf(epsilon=1.0, step_size=70 / 255)
    ratio = RatioLinf(epsilon=3.55, step_size=1.7)
    square = RandomRectangle(height=size * 30 // 112, width=size * 30 // 112)
    border, pixels = Border(width=max(1, size * 10 // 112)), RandomPixels(count=max(1, size * size * 100 // 112**2))
    pgd = AdditiveLinf(epsilon=EPSILON, step_size=STEP)
    l2, ratio_l2 = AdditiveL2(epsilon=160, step_size=1.0), RatioL2(epsilon=160, step_size=3.55)
    return {
        "PGD": Ascent(perturbation=pgd, start=UniformNoise(radius=EPSILON), steps=steps),
        "FGSM": Ascent(perturbation=AdditiveLinf(epsilon=EPSILON, step_size=EPSILON), steps=1),
        "PGD-l2": Ascent(perturbation=l2, start=UniformBox(radius=160), steps=steps),
        "ROA": Ascent(perturbation=paint, region=square, start=Constant(value=0.5), steps=steps),
        "AF": Ascent(perturbation=paint, region=border, start=UniformNoise(radius=1.0), steps=steps),
        "SPA": Ascent(perturbation=paint, region=pixels, start=Constant(value=0.0), steps=steps),
        "MultAV l-inf": Ascent(perturbation=RatioLinf(epsilon=1.04, step_size=1.01), steps=steps),
        "MultAV l2": Ascent(perturbation=ratio_l2, steps=steps),
        "MultAV ROA": Ascent(perturbation=ratio, region=square, steps=steps),
        "MultAV AF": Ascent(perturbation=ratio, region=border, steps=steps),
        "MultAV SPA": Ascent(perturbation=ratio, region=pixels, steps=steps),
    }


def works(network: nn.Module, clips: Tensor, steps: int, every: bool) -> dict[str, Timed]:
    """Floor first, then ours, then the other libraries'."""
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)
    attacks = ours(steps, clips.shape[-1])
    chosen = attacks if every else {"PGD": attacks["PGD"]}
    named = {name: Timed(partial(craft, network, clips, labels, a), a.steps) for name, a in chosen.items()}
    rounded = replace(attacks["PGD"], precision="bf16")
    named["PGD, bf16"] = Timed(partial(craft, network, clips, labels, rounded), steps)
    for name, prepare in installed().items():
        named[f"PGD of {name}"] = Timed(prepare(network, clips, labels, EPSILON, STEP, steps), steps)
    return {"floor": Timed(partial(floor, network, clips, labels, steps), steps)} | named


def floor(network: nn.Module, clips: Tensor, labels: Tensor, steps: int) -> None:
    with attacking(network):
        loss, leaf = cross_entropy(network, labels), clips.clone().requires_grad_()
        for _ in range(steps):
            torch.autograd.grad(loss(leaf).sum(), leaf)


def measure(timed: dict[str, Timed], rounds: int, device: torch.device) -> list[dict[str, float]]:
    """Seconds of each work in each round, each round in another order, after one that is not counted."""
    names, found = list(timed), []
    for i in range(rounds + 1):
        order = names[i % len(names) :] + names[: i % len(names)]
        found.append({name: seconds(timed[name].work, device) for name in order})
    return found[1:]


def table(timed: dict[str, Timed], found: list[dict[str, float]], clips: Tensor) -> None:
    passes = timed["floor"].passes
    print("| work | ms per batch | clips/s | share of its floor | peak memory, GB |\n|---|---:|---:|---:|---:|")
    for name, (work, own) in timed.items():
        median = statistics.median(times[name] for times in found)
        share = spread(times[name] / times["floor"] * passes / own for times in found)
        rate, peak = len(clips) / median, peak_memory(work, clips.device)
        print(f"| {name}, {own} passes | {median * 1000:.1f} | {rate:.1f} | {share} | {peak} |")


def main() -> None:
    parser = parser_of(__doc__, rounds=20)
    parser.add_argument("--all", action="store_true", help="every attack, not PGD alone")
    parser.add_argument("--steps", type=int, default=5)
    options = parsed(parser)
    network, clips = network_and_clips(options)
    with computing_in("fp32"):
        timed = works(network.eval(), clips, options.steps, options.all)
        found = measure(timed, options.rounds, clips.device)
        print(headline(options))
        table(timed, found, clips)


if __name__ == "__main__":
    main()
