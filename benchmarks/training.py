"""Time of a training step of each defense, relative to its floor: the passes that it needs, and nothing else.

    python benchmarks/training.py                        # a tiny network on the CPU
    python benchmarks/training.py --full --device cuda   # 3D ResNet-18, 16 x 112 x 112

A step is the defense's loss and its backward pass to the parameters (the optimizer is the same for all). Its floor is
bare calls of the plain network: gradients to the input with frozen parameters, forward passes without gradients, and
training passes. Both are timed alternately in one run; the ratio is the median over pairs. Goal: 1.15.
"""

import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from common import headline, network_and_clips, parsed, parser_of, peak_memory, seconds, spread
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import attacking
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.protocols import Attack
from pipeline_lib.attacks.regions import RandomRectangle
from pipeline_lib.attacks.starts import Constant, GaussianNoise, UniformNoise
from pipeline_lib.attacks.steepest import Steepest
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.multi_perturbation import Average, Maximum
from pipeline_lib.defenses.multibn import MultiBN, MultiBNManual
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.defenses.trades import Trades
from pipeline_lib.models.trained import channels_last
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.precision import computing_in
from pipeline_lib.randomness.generators import clip_generators

SELECTOR = ResNet3D(depth=10, width=8, stem_kernel=3, stem_pool=False)
GOAL = 1.15


class Case(NamedTuple):
    """A defense, and the passes of one of its steps, each of one batch unless given in `training`.

    gradients: forward-backward to the input. forwards: without gradients. training: number of batches of each pass.
    beside: a second network with the same passes, such as MultiBN's selection module.
    """

    defense: Defense
    gradients: int = 0
    forwards: int = 0
    training: tuple[int, ...] = (1,)
    beside: ResNet3D | None = None


class Both(nn.Module):
    """Two networks on the same clips: a pass of this one is a pass of both."""

    def __init__(self, network: nn.Module, beside: nn.Module) -> None:
        super().__init__()
        self.network, self.beside = network, beside

    def forward(self, clips: Tensor) -> Tensor:
        return self.network(clips) + self.beside(clips)


def cases(steps: int) -> dict[str, Case]:
    linf, l2, l1 = (
        AdditiveLinf(epsilon=4 / 255, step_size=1 / 255),
        AdditiveL2(epsilon=0.5, step_size=0.05),
        AdditiveL1(epsilon=12, step_size=0.05),
    )
    box = AdditiveLinf(epsilon=1.0, step_size=70 / 255)
    pgd = Ascent(perturbation=linf, start=UniformNoise(radius=4 / 255), steps=steps)
    near = Ascent(perturbation=linf, start=GaussianNoise(deviation=0.001), steps=steps)
    roa = Ascent(perturbation=box, region=RandomRectangle(height=8, width=8), start=Constant(value=0.5), steps=steps)
    choices = [Ascent(perturbation=perturbation, steps=1) for perturbation in (linf, l2, l1)]
    msd = Steepest(attacks=choices, steps=steps)
    branches: dict[str, list[Attack | None]] = {"clean": [], "lp": [pgd], "physical": [roa]}
    return {
        "standard": Case(Standard()),
        "AT-PGD": Case(AdversarialTraining(attack=pgd), steps),
        "TRADES": Case(Trades(attack=near, beta=1.0), steps, 1, (1, 1)),
        "AVG": Case(Average(attacks=[pgd, roa]), 2 * steps, 0, (3,)),
        "MAX": Case(Maximum(attacks=[pgd, roa]), 2 * steps, 2, (2,)),
        "MSD": Case(AdversarialTraining(attack=msd), steps, steps * len(choices)),
        "MultiBN-manual": Case(MultiBNManual(branches=branches), 2 * steps, 0, (3,)),
        "MultiBN": Case(MultiBN(branches=branches, selector=SELECTOR), 2 * steps, 0, (3,), SELECTOR),
    }


def floor(network: nn.Module, case: Case, clips: Tensor, labels: Tensor) -> None:
    """The passes of a case on the plain network, in train mode."""
    network.zero_grad(set_to_none=True)
    with attacking(network):
        leaf = clips.clone().requires_grad_()
        for _ in range(case.gradients):
            torch.autograd.grad(F.cross_entropy(network(leaf), labels, reduction="sum"), leaf)
        with torch.no_grad():
            for _ in range(case.forwards):
                network(clips)
    losses = [
        F.cross_entropy(network(torch.cat([clips] * batches) if batches > 1 else clips), labels.repeat(batches))
        for batches in case.training
    ]
    torch.stack(losses).sum().backward()


def step(network: nn.Module, defense: Defense, clips: Tensor, labels: Tensor) -> None:
    def draw(name: str) -> list[torch.Generator]:
        return clip_generators(0, [f"{name} {i}" for i in range(len(clips))])

    network.zero_grad(set_to_none=True)
    defense.objective(network, clips, labels, draw).loss.backward()


def compare(
    network: nn.Module, case: Case, clips: Tensor, labels: Tensor, rounds: int
) -> tuple[list[tuple[float, float]], str]:
    """(floor, step) in seconds, `rounds` pairs in alternating order after one unmeasured pair; a step's peak memory."""
    extended = channels_last(case.defense.extend(network)).to(clips.device).train()
    bare = Both(network, channels_last(case.beside(101)).to(clips.device)).train() if case.beside else network
    works: list[Callable[[], object]] = [
        lambda: floor(bare, case, clips, labels),
        lambda: step(extended, case.defense, clips, labels),
    ]
    pairs = []
    for i in range(rounds + 1):
        times = {k: seconds(works[k], clips.device) for k in ((0, 1) if i % 2 else (1, 0))}
        pairs.append((times[0], times[1]))
    return pairs[1:], peak_memory(works[1], clips.device)


def row(name: str, pairs: list[tuple[float, float]], peak: str) -> str:
    ratios = [taken / base for base, taken in pairs]
    floors, steps = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
    verdict = "" if statistics.median(ratios) <= GOAL else f" above {GOAL}"
    return f"| {name} | {floors:.1f} | {steps:.1f} | {spread(ratios)}{verdict} | {peak} |"


def main() -> None:
    parser = parser_of(__doc__, rounds=10)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of defenses; default: all")
    options = parsed(parser)
    network, clips = network_and_clips(options)
    labels = torch.arange(options.batch, device=clips.device)
    print(headline(options))
    print("| defense | floor, ms | step, ms | over the floor | peak memory, GB |\n|---|---:|---:|---:|---:|")
    for name, case in cases(options.steps).items():
        if not options.only or name in options.only:
            with computing_in("fp32"):
                print(row(name, *compare(network.train(), case, clips, labels, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
