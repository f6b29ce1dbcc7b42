"""Strength of our PGD compared with other libraries, in bf16 and fp32, and with more iterations.

    python benchmarks/strength.py --results results/synthetic --models standard-s0 at_pgd-s0

Test clips of a finished run, live (not quantized) adversarial clips, white-box, scored in float32. All have the same
l-inf bound, step and number of iterations, but different random starts, so that differences of one or two clips are
chance. Each has a 95 % interval for pairs (Agresti and Min, 2005, from the clips on which they disagree).
"""

import argparse
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch
from libraries import Prepare, as_tensor, installed
from torch import Tensor, nn

from pipeline_lib.attacks import AdditiveLinf, Ascent, UniformNoise, craft
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.models.trained import load_model
from pipeline_lib.reporting.metrics import wilson

Craft = Callable[[nn.Module, Tensor, Tensor], Any]


def pgd(epsilon: float, steps: int, **options: Any) -> Craft:
    attack = Ascent(
        perturbation=AdditiveLinf(epsilon=epsilon, step_size=epsilon / 4),
        start=UniformNoise(radius=epsilon),
        steps=steps,
        **options,
    )
    return lambda network, clips, labels: craft(network, clips, labels, attack)


def theirs(epsilon: float, steps: int) -> dict[str, Craft]:
    return {name: partial(once, prepare, epsilon, steps) for name, prepare in installed().items()}


def once(prepare: Prepare, epsilon: float, steps: int, network: nn.Module, clips: Tensor, labels: Tensor) -> Any:
    return prepare(network, clips, labels, epsilon, epsilon / 4, steps)()


def still_correct(network: nn.Module, work: Craft, data: Clips, batch: int, device: torch.device) -> Tensor:
    """bool (n,): whether each clip is still classified correctly."""
    found = []
    for rows in torch.arange(len(data)).split(batch):
        clips = as_clips(data.read(rows.tolist()), device)
        labels = torch.from_numpy(data.labels[rows.numpy()]).to(device)
        adversarial = as_tensor(work(network, clips, labels), clips)
        with torch.no_grad():
            found.append(network(adversarial).argmax(1) == labels)
    return torch.cat(found).cpu()


def accuracy(correct: Tensor) -> str:
    percent = 100 * correct.double().mean().item()
    low, high = wilson(percent, len(correct))
    return f"{percent:.1f} [{low:.1f}, {high:.1f}]"


def difference(correct: Tensor, reference: Tensor) -> str:
    """In percentage points, with the 95 % interval for pairs (Agresti and Min, 2005: half a clip is added to each cell,
    so that the interval has a positive width without disagreements)."""
    more, less, n = int((correct & ~reference).sum()), int((reference & ~correct).sum()), len(correct)
    middle = (more - less) / (n + 2)
    half = 1.96 * ((more + less + 1) - (more - less) ** 2 / (n + 2)) ** 0.5 / (n + 2)
    return f"{100 * (more - less) / n:+.1f} [{100 * (middle - half):+.1f}, {100 * (middle + half):+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=Path("results/synthetic"), help="folder of a data set's results"
    )
    parser.add_argument("--models", nargs="+", default=["standard-s0", "at_pgd-s0"], help="names, seeds included")
    parser.add_argument("--epsilon", type=Fraction, nargs="+", default=[Fraction(4, 255)], help="such as 4/255")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--sweep", type=int, nargs="*", default=[1, 3, 5, 10, 20, 50])
    parser.add_argument("--batch", type=int, default=36)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device, data = torch.device(options.device), Clips(options.results / "clips/test.h5")
    for bound in options.epsilon:
        epsilon = float(bound)
        ours = pgd(epsilon, options.steps)
        others = {"bf16": pgd(epsilon, options.steps, precision="bf16")} | theirs(epsilon, options.steps)
        others |= {f"{n} steps": pgd(epsilon, n) for n in options.sweep}
        print(f"\nPGD-{options.steps}, epsilon {bound}, n = {len(data)}: robust accuracy, percent\n")
        print("| model | attack | accuracy | minus that of ours |\n|---|---|---|---|")
        for name in options.models:
            network = load_model(options.results / f"models/{name}.pt", device).network
            reference = still_correct(network, ours, data, options.batch, device)
            print(f"| {name} | ours | {accuracy(reference)} | |", flush=True)
            for other, work in others.items():
                correct = still_correct(network, work, data, options.batch, device)
                print(f"| {name} | {other} | {accuracy(correct)} | {difference(correct, reference)} |", flush=True)


if __name__ == "__main__":
    main()
