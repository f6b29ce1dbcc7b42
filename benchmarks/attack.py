"""Time of attacks relative to their floor: the same number of bare forward-backward passes to the input and of forward
passes, with frozen parameters.

    python benchmarks/attack.py                        # a tiny network on the CPU
    python benchmarks/attack.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112
    python benchmarks/attack.py --full --all           # every attack
    python benchmarks/attack.py --full --only ROA "APGD, ROA"

PGD of torchattacks, foolbox, ART and cleverhans is included if they are installed, called as in their READMEs. All are
interleaved in one run, so that a slow phase of the machine affects all; a ratio is the median over rounds. Below the
table: our time over that of each library, from pairs of the same round.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from common import headline, network_and_clips, parsed, parser_of, peak_memory, seconds, spread
from libraries import LIBRARIES, installed
from torch import Tensor, nn

from pipeline_lib.attacks import (
    DLR,
    AdditiveL1,
    AdditiveL2,
    AdditiveLinf,
    Apgd,
    Ascent,
    Border,
    Constant,
    Expectation,
    LeastLikely,
    NextClass,
    RandomPixels,
    RandomRectangle,
    RatioL2,
    RatioLinf,
    SearchedRectangle,
    Steepest,
    UniformBox,
    UniformNoise,
    craft,
)
from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.defenses.adaptive import Adaptive
from pipeline_lib.networks.bn_selector import SelectedNetwork, Softmax
from pipeline_lib.networks.multi_batchnorm import branch_out
from pipeline_lib.precision import computing_in

EPSILON, STEP = 4 / 255, 1 / 255
PLAIN, SELECTING = "the network", "MultiBN"
THEIRS = "PGD of {}"
FLOORS = "forward and backward, {}", "forward, {}"


class Timed(NamedTuple):
    """A function to time, and its floor: numbers of forward-backward and of forward passes of a network."""

    work: Callable[[], object]
    gradients: int
    forwards: int = 0
    network: str = PLAIN

    def floor(self, times: Mapping[str, float], passes: int) -> float:
        """Seconds of the floor, from the times of a round."""
        both, alone = (times[kind.format(self.network)] / passes for kind in FLOORS)
        return self.gradients * both + self.forwards * alone


class Ours(NamedTuple):
    """An attack and its passes."""

    attack: Any
    gradients: int
    forwards: int = 0


def papers(steps: int, size: int) -> dict[str, Ascent]:
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


def ours(steps: int, size: int) -> dict[str, Ours]:
    """The papers' attacks and the others, each with its passes."""
    attacks = papers(steps, size)
    side = size * 30 // 112
    pgd, roa = attacks["PGD"], attacks["ROA"]
    l1 = Ascent(perturbation=AdditiveL1(epsilon=12, step_size=0.1), steps=steps)
    searched = SearchedRectangle(height=side, width=side, search="gradient")
    places = min(searched.candidates, (size - side) ** 2)
    return {name: Ours(attack, attack.steps) for name, attack in attacks.items()} | {
        "APGD": Ours(Apgd(inside=pgd, steps=steps), steps, 1),
        "APGD, DLR": Ours(Apgd(inside=pgd, steps=steps, goal=DLR()), steps, 1),
        "APGD, ROA": Ours(Apgd(inside=roa, steps=steps), steps, 1),
        "APGD-l1": Ours(Apgd(inside=l1, steps=steps), steps, 1),
        "APGD, MultAV l-inf": Ours(Apgd(inside=attacks["MultAV l-inf"], steps=steps), steps, 1),
        "PGD-l1": Ours(l1, steps),
        "MSD": Ours(Steepest(attacks=[pgd, attacks["PGD-l2"], l1], steps=steps), steps, 3 * steps),
        "ROA, gradient search": Ours(replace(roa, region=searched), steps + 1, places),
        "PGD, expectation of 2": Ours(Expectation(attack=pgd, samples=2), 2 * steps),
        "PGD, next class": Ours(replace(pgd, goal=NextClass()), steps),
        "PGD, least likely": Ours(replace(pgd, goal=LeastLikely()), steps, 1),
        "PGD, 2 restarts": Ours(replace(pgd, restarts=2), 2 * steps, 2),
        "PGD, best": Ours(replace(pgd, keep="best"), steps, 1),
    }


def works(
    network: nn.Module, selecting: nn.Module, clips: Tensor, steps: int, every: bool, only: list[str] | None
) -> dict[str, Timed]:
    """The floors, our attacks, and those of the other libraries, in this order; of `only` these attacks alone."""
    labels = torch.zeros(len(clips), dtype=torch.long, device=clips.device)
    attacks = ours(steps, clips.shape[-1])
    pgd = attacks["PGD"].attack
    attacks |= {"PGD, bf16": Ours(replace(pgd, precision="bf16"), steps)}
    if unknown := set(only or ()) - attacks.keys():
        raise SystemExit(f"unknown: {', '.join(unknown)}; known: {', '.join(attacks)}")
    chosen = attacks if every else {name: attacks[name] for name in only or ("PGD", "APGD", "PGD, bf16")}
    timed = floors(network, PLAIN, clips, labels, steps)
    for name, (attack, both, alone) in chosen.items():
        timed[name] = Timed(partial(craft, network, clips, labels, attack), both, alone)
    if every:
        timed |= floors(selecting, SELECTING, clips, labels, steps)
        joint = partial(craft, selecting, clips, labels, pgd, loss=Adaptive(type="lp"))
        timed["PGD, adaptive"] = Timed(joint, steps, network=SELECTING)
    for name, prepare in ({} if only else installed()).items():
        timed[THEIRS.format(name)] = Timed(prepare(network, clips, labels, EPSILON, STEP, steps), steps)
    return timed


def floors(network: nn.Module, name: str, clips: Tensor, labels: Tensor, steps: int) -> dict[str, Timed]:
    """Bare passes of a network."""
    both, alone = (kind.format(name) for kind in FLOORS)
    return {
        both: Timed(partial(gradients, network, clips, labels, steps), steps, 0, name),
        alone: Timed(partial(forwards, network, clips, labels, steps), 0, steps, name),
    }


def gradients(network: nn.Module, clips: Tensor, labels: Tensor, passes: int) -> None:
    with attacking(network):
        loss, leaf = cross_entropy(network, labels), clips.clone().requires_grad_()
        for _ in range(passes):
            torch.autograd.grad(loss(leaf).sum(), leaf)


def forwards(network: nn.Module, clips: Tensor, labels: Tensor, passes: int) -> None:
    with attacking(network), torch.no_grad():
        loss = cross_entropy(network, labels)
        for _ in range(passes):
            loss(clips)


def multibn(options: argparse.Namespace) -> nn.Module:
    """The network with branches, and a selection module of the same kind."""
    target, _ = network_and_clips(options)
    selector, _ = network_and_clips(options, classes=3)
    return SelectedNetwork(branch_out(target, ["clean", "lp", "physical"]), selector, Softmax())


def measure(timed: dict[str, Timed], rounds: int, device: torch.device) -> list[dict[str, float]]:
    """Seconds of each function in each round, in a different order per round, after one unmeasured round."""
    names, found = list(timed), []
    for i in range(rounds + 1):
        order = names[i % len(names) :] + names[: i % len(names)]
        found.append({name: seconds(timed[name].work, device) for name in order})
    return found[1:]


def table(timed: dict[str, Timed], found: list[dict[str, float]], clips: Tensor, passes: int) -> None:
    print("| work | passes | ms per batch | clips/s | fraction of its floor | peak memory, GB |")
    print("|---|---|---:|---:|---:|---:|")
    for name, work in timed.items():
        median = statistics.median(times[name] for times in found)
        fraction = spread(times[name] / work.floor(times, passes) for times in found)
        own = f"{work.gradients}" + (f" + {work.forwards} forward" if work.forwards else "")
        rate, peak = len(clips) / median, peak_memory(work.work, clips.device)
        print(f"| {name} | {own} | {median * 1000:.1f} | {rate:.1f} | {fraction} | {peak} |")


def against(timed: dict[str, Timed], found: list[dict[str, float]]) -> None:
    for library in LIBRARIES:
        if (theirs := THEIRS.format(library)) in timed:
            print(f"PGD, our time over that of {library}: {spread(times['PGD'] / times[theirs] for times in found)}")


def main() -> None:
    parser = parser_of(__doc__, rounds=20)
    parser.add_argument("--all", action="store_true", help="every attack, not PGD alone")
    parser.add_argument("--only", nargs="+", help="these attacks, by the names of the table")
    parser.add_argument("--steps", type=int, default=5)
    options = parsed(parser)
    network, clips = network_and_clips(options)
    with computing_in("fp32"):
        timed = works(network.eval(), multibn(options).eval(), clips, options.steps, options.all, options.only)
        found = measure(timed, options.rounds, clips.device)
        print(headline(options))
        table(timed, found, clips, options.steps)
        print()
        against(timed, found)


if __name__ == "__main__":
    main()
