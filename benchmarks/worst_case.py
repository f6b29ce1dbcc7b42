"""Robust accuracy of trained models under a table's attack, its threat's worst case, and AutoAttack's APGD.

    python benchmarks/worst_case.py --results results/synthetic --models at_pgd-s0 multibn_manual-s0/lp --attacks pgd
    python benchmarks/worst_case.py --results results_cifar10_small/cifar10 --config config/cifar10.yaml \
        --models cifar10_avg-s0 --attacks pgd --clips 200 --batch 100 --settings 20,3,40 100,3,100 100,9,100

Test clips of a finished run, or those of another store that are not test clips (`--store`), white-box, 8-bit clips
scored in float32. Each attack is compared with its entry
`NAME_worst`, or with worst cases of other numbers (`--settings`); and, for pgd if torchattacks is installed, with APGD
on cross-entropy and on the targeted DLR loss towards every wrong class (100 steps, one start each) on live clips, with
frames stacked vertically, as it accepts images only. `more`: clips that the worst case leaves and this one does not,
and the reverse. `passes`: gradients per clip, also as a fraction of those of running every attack of the worst case on
every clip, and the least possible fraction.
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from strength import accuracy
from torch import Tensor, nn

from pipeline_lib.attacks import Strongest, WorstCase, craft
from pipeline_lib.attacks.protocols import Loss
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.configuration.entries import resolve_attack
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.entries.building import build
from pipeline_lib.models.trained import load_model, view

T = TypeVar("T")


class Through(nn.Module):
    """A network, or one branch of it: `MODEL` or `MODEL/BRANCH` in a folder of models."""

    def __init__(self, models: Path, name: str, device: torch.device) -> None:
        super().__init__()
        model, _, branch = name.partition("/")
        self.network = load_model(models / f"{model}.pt", device).network
        self.model = view(self.network, branch or None)

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips)


class OfImages(nn.Module):
    """A network for videos as one for images, with the frames stacked vertically."""

    def __init__(self, network: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.unflatten(2, self.shape[2:4]))


def autoattack(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float, steps: int, batch: int) -> Tensor:
    """bool (N,): whether each clip is correct under APGD on cross-entropy and the targeted one; in batches."""
    parts = zip(clips.split(batch), labels.split(batch), strict=True)
    return torch.cat([withstanding(network, *part, epsilon, steps) for part in parts])


def withstanding(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float, steps: int) -> Tensor:
    """The flags of one batch."""
    from torchattacks import APGD, APGDT

    model, images = OfImages(network, clips.shape).eval(), clips.flatten(2, 3)
    correct = network(clips).argmax(1) == labels
    for attack in (
        APGD(model, eps=epsilon, steps=steps, loss="ce"),
        APGDT(model, eps=epsilon, steps=steps, n_classes=int(network(clips[:1]).shape[1])),
    ):
        rows = correct.nonzero().flatten()
        if len(rows):
            found = attack(images[rows], labels[rows])
            correct[rows] &= model(found).argmax(1) == labels[rows]
    return correct


class Counted:
    """Stored clips of an attack, and the number of gradients per clip."""

    def __init__(self, network: nn.Module, attack: Any, clips: Tensor, labels: Tensor, names: list[str], batch: int):
        self.passes = 0
        found = craft(network, clips, labels, attack, names=names, batch_size=batch, loss=self.counting)
        with torch.no_grad():
            self.correct = network(attack.quantize(found, clips)).argmax(1) == labels

    def counting(self, loss: Loss) -> Loss:
        def counted(clips: Tensor) -> Tensor:
            self.passes += len(clips) * clips.requires_grad
            return loss(clips)

        return counted


def in_order(worst: Strongest | WorstCase, classes: int) -> list[Any]:
    """The attacks of a worst case."""
    return worst.attacks if isinstance(worst, Strongest) else [worst.of, *worst.stronger(classes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/synthetic"))
    parser.add_argument("--config", type=Path, nargs="*", default=[], help="the demo's where none is named")
    parser.add_argument("--models", nargs="+", default=["at_pgd-s0", "avg-s0", "multibn-s0"])
    parser.add_argument("--attacks", nargs="+", default=["pgd", "roa", "af", "spa"])
    parser.add_argument("--steps", type=int, default=100, help="of torchattacks' APGD")
    parser.add_argument(
        "--settings", nargs="*", help="steps,targets,targeted_steps of worst cases instead of NAME_worst"
    )
    parser.add_argument("--batch", type=int, default=36)
    parser.add_argument("--clips", type=int, help="as many, evenly spaced; default: all")
    parser.add_argument("--store", type=Path, help="of the clips, instead of the test clips of the results")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device, data, rows = torch.device(options.device), *chosen(options.results / "clips/test.h5", options)
    clips, labels = as_clips(data.read(rows), device), torch.from_numpy(data.labels[rows]).to(device)
    names = [data.videos[row] for row in rows]
    folder = Path(__file__).parents[1] / "config"
    entries = effective_config(folder, options.config, {})["attacks"]
    header = "| model | attack | accuracy | worst case | passes | AutoAttack's APGD | more | seconds |"
    print(f"n = {len(rows)}\n\n{header}\n|---|---|---|---|---|---|---|---|")
    for model in options.models:
        network = Through(options.results / "models", model, device).eval()
        for name in options.attacks:
            attack = build(resolve_attack(f"attacks.{name}", entries[name], {"Attack": entries}))
            own, seconds = timed(Counted, network, attack, clips, labels, names, options.batch)
            theirs, correct = "-", None
            if name == "pgd" and options.steps and find_spec("torchattacks"):
                epsilon = attack.perturbation.epsilon
                correct, taken = timed(autoattack, network, clips, labels, epsilon, options.steps, options.batch)
                theirs = f"{accuracy(correct)} ({taken:.0f} s)"
            for words, worst in worst_cases(name, attack, entries, options.settings).items():
                least, more = timed(Counted, network, worst, clips, labels, names, options.batch)
                passes = shares(least, [one.steps for one in in_order(worst, len(data.classes))])
                left = f"{accuracy(own.correct)} | {accuracy(least.correct)}"
                apart = "-" if correct is None else disagreements(least.correct, correct)
                spent = f"{seconds:.0f}, {more:.0f}"
                print(f"| {model} | {words} | {left} | {passes} | {theirs} | {apart} | {spent} |", flush=True)


def shares(cascade: Counted, steps: list[int]) -> str:
    """Gradients per clip, also as a fraction of those of all attacks on all clips, and the least possible fraction: the
    first attack meets all clips, and a clip that withstands meets all attacks."""
    each, every = cascade.passes / len(cascade.correct), sum(steps)
    least = steps[0] + float(cascade.correct.double().mean()) * sum(steps[1:])
    return f"{each:.1f} of {every}: {each / every:.2f} (at least {least / every:.2f})"


def chosen(tested: Path, options: argparse.Namespace) -> tuple[Clips, list[int]]:
    """A store of clips, and the rows of some: of another store than `tested`, those that are not test clips."""
    data = Clips(options.store or tested)
    known = set(Clips(tested).videos) if options.store else set()
    rows = [row for row, video in enumerate(data.videos) if video not in known]
    count = options.clips or len(rows)
    return data, [rows[i * len(rows) // count] for i in range(count)]


def disagreements(ours: Tensor, theirs: Tensor) -> str:
    """Numbers of clips that are correct under one attack only."""
    return f"{int((ours & ~theirs).sum())}, {int((theirs & ~ours).sum())}"


def worst_cases(name: str, attack: Any, entries: dict[str, Any], settings: list[str] | None) -> dict[str, Any]:
    """Worst cases of an attack, by how the table names them."""
    if not settings:
        entry = resolve_attack(f"attacks.{name}_worst", entries[f"{name}_worst"], {"Attack": entries})
        return {name: build(entry)}
    numbers = {given: [int(number) for number in given.split(",")] for given in settings}
    return {
        f"{name}, {given}": WorstCase(of=attack, steps=steps, targets=targets, targeted_steps=targeted)
        for given, (steps, targets, targeted) in numbers.items()
    }


def timed(work: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """The result, and the CPU time in seconds."""
    began = time.process_time()
    result = work(*arguments)
    return result, time.process_time() - began


if __name__ == "__main__":
    main()
