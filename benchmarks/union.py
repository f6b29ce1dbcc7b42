"""Passes of a study's union by cascades (`union: cascade`), compared with those of the set of every attack.

    python benchmarks/union.py --results results --study multibn_white_box

Models and clips of a finished run. For each row and seed: clips that are left, clips per attack in the cascade's order,
and passes per clip in units of a forward and backward pass to the input (a forward pass alone counts as half), counted
on the network. The full matrix are predictions on clean clips and one set for each attack, with its audit; the cascade
has the clean predictions too. The flags of both are compared, and must be equal.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

import pipeline_lib.evaluation.source as sources
from pipeline_lib.configuration.config import resolve_config
from pipeline_lib.configuration.parameters import cascade_entry
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults, without_nulls
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
from pipeline_lib.evaluation.cascade import Step, make_union
from pipeline_lib.evaluation.prediction import predict
from pipeline_lib.evaluation.source import Run, Settings, Source

ROOT = Path(__file__).parents[1]


class Passes:
    """Counts the passes of every network that a job loads."""

    def __init__(self) -> None:
        self.count, load = 0.0, sources.load_model

        def counting(path: Path, device: torch.device) -> Any:
            trained = load(path, device)
            trained.network.register_forward_pre_hook(self.note)
            return trained

        sources.load_model = counting

    def note(self, network: nn.Module, given: tuple[Tensor, ...]) -> None:
        gradient = given[0].requires_grad and torch.is_grad_enabled()
        self.count += len(given[0]) * (1.0 if gradient else 0.5)

    def of(self, work: Callable[[], object]) -> tuple[float, float]:
        """Passes and CPU seconds of some work."""
        before, began = self.count, time.process_time()
        work()
        return self.count - before, time.process_time() - began


class Row:
    """The jobs of one row and seed, in a folder."""

    def __init__(self, cascade: dict[str, Any], steps: list[dict[str, Any]], paths: Paths, dataset: str, folder: Path):
        self.cascade, self.folder = cascade, folder
        self.steps = [Step(name=one["attack"], entry=one["entry"], branch=one["branch"]) for one in steps]
        self.weights, self.clips = Path(paths.weights(dataset, cascade["model"])), Path(paths.clips(dataset, "test"))
        self.settings = Settings(batch_size=36, device=torch.device("cpu"))

    def clean(self) -> list[Path]:
        files = []
        for i, cell in enumerate(self.cascade["clean"]):
            source = Source(weights=self.weights, branch=split_target(cell["target"])[1])
            files.append(self.folder / f"clean{i}.csv")
            predict(source, clips=self.clips, output=files[-1], settings=self.settings)
        return files

    def matrix(self) -> None:
        for step in self.steps:
            names = {name: self.folder / f"{step.name}.{name}" for name in SetFiles.__dataclass_fields__}
            make_adversarial_set(
                step.entry,
                source=Source(weights=self.weights, branch=step.branch),
                clips=self.clips,
                run=Run(folder=self.folder / "runs", code=""),
                settings=self.settings,
                outputs=SetFiles(**names),
            )

    def union(self) -> None:
        make_union(
            self.steps,
            weights=self.weights,
            clips=self.clips,
            clean=[self.folder / f"clean{i}.csv" for i in range(len(self.cascade["clean"]))],
            run=Run(folder=self.folder / "runs", code=""),
            settings=self.settings,
            output=self.folder / "union.csv",
        )

    def compared(self) -> tuple[int, list[int]]:
        """Clips that are correct in the union; clips left before each attack. Raises ValueError for other flags."""
        flags = [right(self.folder / f"clean{i}.csv") for i in range(len(self.cascade["clean"]))]
        flags += [right(self.folder / f"{step.name}.predictions") for step in self.steps]
        left = [sum(map(all, zip(*flags[: i + 1], strict=True))) for i in range(len(flags))]
        if [*map(all, zip(*flags, strict=True))] != right(self.folder / "union.csv"):
            raise ValueError(f"{self.cascade['label']}: the union's flags are not those of the full matrix")
        return left[-1], left[len(self.cascade["clean"]) - 1 : -1]


def right(path: Path) -> list[bool]:
    with path.open(newline="") as file:
        return [row["label"] == row["prediction"] for row in csv.DictReader(file)]


def planned(options: argparse.Namespace) -> dict[str, Any]:
    given = {"studies": {options.study: {"union": "cascade", "summaries": ["union"], "beside": "nothing"}}}
    config = effective_config(ROOT / "config", options.config, given)
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    return resolve_config(without_nulls(with_defaults(config, schema)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--config", type=Path, nargs="*", default=[], help="the demo's where none is named")
    parser.add_argument("--study", default="multibn_white_box")
    parser.add_argument("--rows", nargs="*", help="default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan, counter = planned(options), Passes()
    study, paths = plan["studies"][options.study], Paths(str(options.results))
    print("| row | left | clips per attack | passes of the matrix | of the cascade | ratio | CPU seconds |")
    print("|---|---:|---|---:|---:|---:|---|")
    for name, cascade in study["cascades"].items():
        if options.rows and cascade["label"] not in options.rows:
            continue
        with tempfile.TemporaryDirectory() as folder:
            steps = cascade_entry(plan, options.study, name)
            row = Row(cascade, steps, paths, study["dataset"], Path(folder))
            own, _ = counter.of(row.clean)
            every, seconds = counter.of(row.matrix)
            fewer, less = counter.of(row.union)
            left, counts = row.compared()
        order = ", ".join(f"{step.name} {count}" for step, count in zip(row.steps, counts, strict=True))
        passes = f"{own + every:.0f} | {own + fewer:.0f} | {(own + fewer) / (own + every):.2f}"
        print(f"| {cascade['label']} | {left} | {order} | {passes} | {seconds:.0f}, {less:.0f} |", flush=True)


if __name__ == "__main__":
    main()
