"""Pilots that chose the demo's difficulty and length of training, by its own workflow: No Defense and AT-PGD only.

    python benchmarks/demo_pilot.py --contrast 0.16 --epochs 12 --finetune 8

Clips, models and sets of each setting lie in a folder of their own, so that its jobs are those of the demo with these
values. A row of Markdown: accuracy of No Defense on clean clips, of AT-PGD on clean clips, under PGD and under the
worst case of its bound, in percent with 95 % intervals, and loss and accuracy of the last two epochs' training clips.
No other defense is trained: the choice cannot depend on which one wins.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

from pipeline_lib.reporting.metrics import accuracy, read_predictions

ROOT = Path(__file__).parents[1]
SETS = {"standard-s0": ["clean"], "at_pgd-s0": ["clean", "at_pgd-s0/pgd", "at_pgd-s0/pgd_worst"]}
COLUMNS = ["No Defense clean", "AT-PGD clean", "PGD", "worst case", "training of No Defense", "of AT-PGD", "seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contrast", type=float, nargs="+", default=[0.16])
    parser.add_argument("--epochs", type=int, default=12, help="of No Defense")
    parser.add_argument("--finetune", type=int, default=8, help="epochs of AT-PGD, from No Defense")
    parser.add_argument("--rate", type=float, default=0.03, help="learning rate of AT-PGD")
    parser.add_argument("--train", type=int, default=56, help="training clips of each class")
    parser.add_argument("--test", type=int, default=67, help="test clips of each class")
    parser.add_argument("--set", nargs="*", default=[], help='more configuration: attacks="{pgd: {steps: 5}}"')
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("results/pilots"))
    options = parser.parse_args()
    names = ["contrast", "epochs", "finetune", "rate", "train", "test"]
    print(f"| {' | '.join(names + COLUMNS)} |\n|{'---|' * len(names + COLUMNS)}")
    for contrast in options.contrast:
        values = [contrast, *(getattr(options, name) for name in names[1:])]
        folder = options.folder / "-".join(map(str, [*values, *options.set]))
        began = time.monotonic()
        run(folder, options, contrast)
        cells = [*values, *found(folder), f"{time.monotonic() - began:.0f}"]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def run(folder: Path, options: argparse.Namespace, contrast: float) -> None:
    """The workflow up to both models' predictions and histories."""
    render = {"contrast": contrast, "train_per_class": options.train, "test_per_class": options.test}
    training = {
        "scratch": {"epochs": options.epochs},
        "finetune": {"epochs": options.finetune, "learning_rate": options.rate},
    }
    given = {"datasets": {"synthetic": {"render": render}}, "training": training}
    files = [f"results/synthetic/predictions/{model}/{name}.csv" for model, names in SETS.items() for name in names]
    command = [sys.executable, "-m", "snakemake", "--cores", str(options.cores), "--directory", str(folder), *files]
    command += ["--configfile", str(ROOT / "config/demo_worst_case.yaml"), "--config"]
    command += [f"{name}={json.dumps(value)}" for name, value in given.items()] + options.set
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=log)


def found(folder: Path) -> list[str]:
    """The cells of the two models."""
    cells = [
        with_interval(folder / f"results/synthetic/predictions/{model}/{name}.csv")
        for model, names in SETS.items()
        for name in names
    ]
    return [*cells, *(last_epochs(folder / f"results/synthetic/models/{model}.csv") for model in SETS)]


def with_interval(path: Path) -> str:
    found = accuracy(read_predictions(path))
    return f"{found.percent:.1f} [{found.low:.1f}, {found.high:.1f}]"


def last_epochs(history: Path) -> str:
    """Training loss and accuracy of the last epoch but one, and of the last."""
    with history.open() as file:
        rows = list(csv.DictReader(file))
    return ", ".join(f"{float(row['loss']):.3f} ({float(row['accuracy']):.1f} %)" for row in rows[-2:])


if __name__ == "__main__":
    main()
