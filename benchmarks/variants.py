"""Effect of memory layout, torch.compile and CUDA graphs on standard and adversarial training steps.

    python benchmarks/variants.py                                          # a tiny network on the CPU, no CUDA graphs
    python benchmarks/variants.py --network resnext101 --device cuda --precision tf32

The unit is a forward-backward pass of the plain network (contiguous tensors, no compiler): a standard step has one, an
adversarial step one more for each step of its attack. All are interleaved in one run; compilation is not measured. Each
step's loss is compared with the plain network's in the same round.
"""

import copy
import statistics
from collections.abc import Callable
from typing import Any

import torch
from common import headline, network_and_clips, parsed, parser_of, peak_memory, seconds, spread
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.attacks import AdditiveLinf, Ascent
from pipeline_lib.defenses.adversarial_training import AdversarialTraining
from pipeline_lib.defenses.objective import Defense
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.precision import autocast, computing_in, gap_allowed
from pipeline_lib.randomness.generators import clip_generators

PLAIN = "plain"
Work = Callable[[], Tensor]


def variants(network: nn.Module, clips: Tensor) -> dict[str, tuple[Any, Tensor]]:
    """Each variant's own copy of the network, and its clips."""
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    made = {
        PLAIN: (plain, clips.contiguous()),
        "channels_last_3d (as in jobs)": (copy.deepcopy(network), clips),
        "channels_last_3d, compile": (torch.compile(copy.deepcopy(network)), clips),
    }
    if clips.device.type == "cuda":
        graphed = torch.compile(copy.deepcopy(network), mode="reduce-overhead")
        made["channels_last_3d, compile, CUDA graphs"] = (graphed, clips)
    return made


def step_of(defense: Defense, network: nn.Module, clips: Tensor, precision: Any) -> Work:
    labels = torch.arange(len(clips), device=clips.device)

    def work() -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        network.zero_grad(set_to_none=True)
        with autocast(precision, clips.device):
            outcome = defense.objective(network, clips, labels, lambda name: clip_generators(0, [name] * len(clips)))
        outcome.loss.backward()
        return outcome.loss.detach().clone()

    return work


def plain_pass(network: nn.Module, clips: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    F.cross_entropy(network(clips), torch.arange(len(clips), device=clips.device)).backward()


def works_of(defense: Defense, network: nn.Module, clips: Tensor, precision: Any) -> dict[str, Work]:
    """The steps that run here; a failure is printed, and the step left out."""
    works = {}
    for name, (own, given) in variants(network.train(), clips).items():
        work = step_of(defense, own, given, precision)
        try:
            work(), work()  # compiles, and records
        except Exception as error:
            print(f"| {name} | failed: {type(error).__name__}: {str(error).splitlines()[0]} | | | |", flush=True)
        else:
            works[name] = work
    return works


def timed(work: Work, device: torch.device) -> tuple[float, float]:
    """Seconds of a step, and its loss."""
    losses: list[Tensor] = []
    return seconds(lambda: losses.append(work()), device), losses[0].item()


def table(defense: Defense, passes: int, network: nn.Module, clips: Tensor, options: Any) -> None:
    device, found = clips.device, []
    works = works_of(defense, network, clips, options.precision)
    bare, contiguous = variants(network, clips)[PLAIN]
    plain_pass(bare, contiguous)
    for _ in range(options.rounds):
        unit = seconds(lambda: plain_pass(bare, contiguous), device)
        found.append((unit, {name: timed(work, device) for name, work in works.items()}))
    for name, work in works.items():
        fraction = spread(steps[name][0] / unit / passes for unit, steps in found)
        gap = max(abs(steps[name][1] / steps[PLAIN][1] - 1) for _, steps in found)
        printed = f"{gap:.1e}" + (" TOO LARGE" if gap > gap_allowed(options.precision) else "")
        median = statistics.median(steps[name][0] for _, steps in found) * 1000
        print(f"| {name} | {median:.1f} | {fraction} | {peak_memory(work, device)} | {printed} |", flush=True)


def main() -> None:
    parser = parser_of(__doc__, rounds=10)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    options = parsed(parser)
    network, clips = network_and_clips(options)
    pgd = Ascent(perturbation=AdditiveLinf(epsilon=4 / 255, step_size=1 / 255), steps=options.steps)
    cases: dict[str, tuple[Defense, int]] = {
        "standard": (Standard(), 1),
        f"AT-PGD-{options.steps}": (AdversarialTraining(attack=pgd), 1 + options.steps),
    }
    print(headline(options))
    for name, (defense, passes) in cases.items():
        print(f"\n| {name} step, {options.precision} | ms | over plain passes | peak memory, GB | loss differs by |")
        print("|---|---:|---:|---:|---:|")
        with computing_in(options.precision):
            table(defense, passes, network, clips, options)


if __name__ == "__main__":
    main()
