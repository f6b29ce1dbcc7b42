"""Runs the rows of a study on a GPU machine with torch but without Snakemake: the entries, library functions and files
of the workflow, one row at a time, within a time limit.

    python benchmarks/study.py --config config/cifar10.yaml --study multibn_cifar10 --results /tmp/results \
        --set datasets.cifar10.root=/data/cifar10 --set training.cifar10.epochs=10 --rows "No Defense" AVG MultiBN

A data set may also be given as finished clip stores: --clips FOLDER with `train.h5` and `test.h5`. Only white-box
columns are computed. The table has each column's accuracy, their mean, and the percentage of clips that are classified
correctly in every column (union); where the study has worst cases, a second row has the same for them.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from pipeline_lib.clips.decode import Decoding, decode_to_store
from pipeline_lib.configuration.config import resolve_config
from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.parameters import attack_entry, model_entry
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.stacking import effective_config, stacked
from pipeline_lib.configuration.structure import with_defaults, without_nulls
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.entries.building import build
from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
from pipeline_lib.evaluation.prediction import predict
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.jobs.adapter import torch_device
from pipeline_lib.training.job import Inputs, Outputs, train_model

ROOT = Path(__file__).parents[1]
ENDINGS = ("h5", "audit.csv", "trace.csv")


def setting(text: str) -> dict[str, Any]:
    """`a.b=1` as nested mappings."""
    path, _, value = text.partition("=")
    result: Any = yaml.safe_load(value)
    for key in reversed(path.split(".")):
        result = {key: result}
    return result


def configuration(options: argparse.Namespace) -> dict[str, Any]:
    given = stacked(map(setting, options.set))
    config = effective_config(ROOT / "config", options.config, given)
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    return without_nulls(with_defaults(config, schema))


class Study:
    """A study's plan, and the paths of its files."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.config = configuration(options)
        self.plan = resolve_config(self.config)
        self.study = self.plan["studies"][options.study]
        self.device = torch_device({"device": options.device, "threads": 4})
        self.dataset, self.paths = self.study["dataset"], Paths(str(options.results))
        self.runs = options.results / ".runs"
        self.clips = options.clips or Path(self.paths.clips(self.dataset, "test")).parent
        sizes = self.runs / "batch_sizes"
        self.settings = Settings(**self.config["evaluation"], device=self.device, batch_sizes=sizes)

    def decode(self) -> None:
        entry = self.plan["datasets"][self.dataset]
        for split in ("train", "test"):
            out = self.clips / f"{split}.h5"
            if not out.exists():
                out.parent.mkdir(parents=True, exist_ok=True)
                lists, decoder = build(entry["lists"]), build(entry["decoder"])
                decode_to_store(out, Path(entry["root"]), split, lists, decoder, Decoding(), workers=8)

    def weights(self, model: str) -> Path:
        """A trained model's file; trains it, and the model that it starts from, if they are missing."""
        path, entry = Path(self.paths.weights(self.dataset, model)), self.plan["models"][model]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            initial = self.weights(entry["initial"]) if entry["initial"] else None
            start = time.monotonic()
            train_model(
                model_entry(self.plan, model),
                Inputs(
                    clips=self.clips / "train.h5",
                    initial=initial,
                    test=self.clips / "test.h5" if entry["training"].get("select_on") == "test" else None,
                ),
                Outputs(weights=path, history=self.history(model), runs=self.runs / "train"),
                code="",
                device=self.device,
            )
            print(
                f"  trained {model} in {time.monotonic() - start:.1f} s; last epoch: {last_row(self.history(model))}",
                flush=True,
            )
        return path

    def history(self, model: str) -> Path:
        return Path(self.paths.history(self.dataset, model))

    def correct(self, target: str, attack: str) -> np.ndarray:
        """bool (N,): whether a target classifies each test clip correctly under a white-box attack, or clean."""
        model, branch = split_target(target)
        out = Path(self.paths.prediction(self.dataset, target, target, attack))
        source = Source(weights=self.weights(model), branch=branch)
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            if attack == CLEAN:
                predict(source, clips=self.clips / "test.h5", output=out, settings=self.settings)
            else:
                self._attack(target, attack, source, out)
        with out.open() as file:
            return np.array([row["prediction"] == row["label"] for row in csv.DictReader(file)])

    def _attack(self, target: str, attack: str, source: Source, out: Path) -> None:
        made = {end: Path(self.paths.adversarial(self.dataset, target, attack, end)) for end in ENDINGS}
        made["h5"].parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        make_adversarial_set(
            attack_entry(self.plan, attack),
            source=source,
            clips=self.clips / "test.h5",
            run=Run(folder=self.runs / "attack", code=""),
            settings=self.settings,
            outputs=SetFiles(adversarial=made["h5"], predictions=out, audit=made["audit.csv"], trace=made["trace.csv"]),
        )
        print(f"  {attack} on {target} in {time.monotonic() - start:.1f} s", flush=True)

    def row(self, label: str) -> list[str]:
        """The table's row for the attacks, and one for the worst cases if the study has them."""
        cells = self.study["rows"][label]
        worst = self.study.get("worst", {}).get(label, {})
        return [self._line(label, cells), *([self._line(f"{label}, worst case", cells | worst)] if worst else [])]

    def _line(self, label: str, cells: dict[str, Any]) -> str:
        found = [self.correct(cell["target"], cell["attack"]) for [cell, *_] in cells.values()]
        accuracies = [100 * column.mean() for column in found]
        numbers = [*accuracies, np.mean(accuracies), 100 * np.all(found, axis=0).mean()]
        return f"| {label} | " + " | ".join(f"{number:.1f}" for number in numbers) + f" | {len(found[0])} |"


def last_row(history: Path) -> str:
    *_, last = csv.DictReader(history.open())
    return ", ".join(f"{key} {last[key]}" for key in ("epoch", "loss", "accuracy", "selection_accuracy") if key in last)


def rows(study: Study, wanted: list[str], deadline: float) -> Iterator[str]:
    for label in wanted or study.study["rows"]:
        if time.monotonic() > deadline:
            yield f"| {label} | not started: out of time |"
        else:
            yield from study.row(label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, nargs="+", required=True)
    parser.add_argument("--study", required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--clips", type=Path, help="folder with train.h5 and test.h5")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no further row is started after this time")
    options = parser.parse_args()
    deadline, study = time.monotonic() + options.seconds, Study(options)
    if options.clips is None:
        study.decode()
    table = [f"| row | {' | '.join(study.study['columns'])} | mean | union | n |"]
    for row in rows(study, options.rows, deadline):
        print(row, flush=True)
        table.append(row)
    print(f"\ntorch {torch.__version__}, {' '.join(options.set)}\n", *table, sep="\n")


if __name__ == "__main__":
    main()
