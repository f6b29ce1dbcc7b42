"""How far the plan (`python -m pipeline_lib.plan`) is from what jobs take: operations and peak memory, job by job.

    python benchmarks/plan.py            # every job, each in two processes of its own: one counted, one measured
    python benchmarks/plan.py --only "train avg" --scratch /tmp/plan
    python benchmarks/plan.py --only "standard-s0 multibn" --steps memory    # peak memory, and what such a job asks for

Jobs are the workflow's own functions on random clips, a few batches of them.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.configuration.clip_numbers import Numbers
from pipeline_lib.configuration.config import read_config
from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.parameters import attack_entry
from pipeline_lib.configuration.pass_costs import Work
from pipeline_lib.configuration.requests import MARGIN, SNAKEMAKE_MB
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.evaluation.adversarial import SetFiles, make_adversarial_set
from pipeline_lib.evaluation.prediction import predict
from pipeline_lib.evaluation.source import Run, Settings, Source
from pipeline_lib.jobs.adapter import torch_device
from pipeline_lib.jobs.counts import SHIPPED, read_counts
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import new_network
from pipeline_lib.plan.counting import Counter
from pipeline_lib.plan.planned import count_missing
from pipeline_lib.training.job import Inputs, Outputs, train_model

ROOT = Path(__file__).parents[1]
CLASSES = ["a", "b"]
EMBEDDED = ("demo", "demo_sweeps", "generative")  # configurations with data sets of their own


STEPS = ("counts", "memory")


class Case(NamedTuple):
    """A job: its rule, model, attack, configuration, data set, number of clips, and clips at once."""

    rule: str
    config: str
    dataset: str
    model: str
    clips: int
    at_once: int
    attack: str = ""

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.rule, self.attack, self.model, self.config) if part)


CASES = [
    Case("train", "demo", "synthetic", "standard-s0", 80, 8),
    Case("train", "demo", "synthetic", "avg-s0", 80, 8),
    Case("train", "demo", "synthetic", "multibn-s0", 80, 8),
    Case("attack", "demo", "synthetic", "standard-s0", 72, 36, "pgd"),
    Case("attack", "demo_sweeps", "synthetic", "multibn-s0", 72, 36, "pgd_20"),
    Case("predict", "demo", "synthetic", "multibn-s0", 72, 36),
    Case("train", "cifar10", "cifar10", "cifar10_standard-s0", 256, 128),
    Case("train", "cifar10", "cifar10", "cifar10_avg-s0", 256, 128),
    Case("train", "cifar10", "cifar10", "cifar10_multibn-s0", 256, 128),
    Case("attack", "cifar10", "cifar10", "cifar10_standard-s0", 200, 200, "pgd"),
    Case("train", "ucf101_3class_gpu", "ucf101_3class", "at_pgd-s0", 8, 4),
    Case("train", "ucf101_3class_gpu", "ucf101_3class", "avg-s0", 8, 4),
    Case("attack", "ucf101_3class_gpu", "ucf101_3class", "standard-s0", 8, 4, "roa"),
    Case("predict", "ucf101_3class_gpu", "ucf101_3class", "standard-s0", 16, 8),
    Case("train", "multibn", "ucf101", "standard-s0", 8, 4),
    Case("attack", "multibn", "ucf101", "standard-s0", 4, 2, "pgd"),
    Case("train", "generative", "shapes", "wgan-s0", 160, 16),
    Case("train", "generative", "shapes", "defense_gan-s0", 32, 16),
    Case("attack", "generative", "shapes", "defense_gan-s0", 16, 16, "pgd"),
    Case("predict", "generative", "shapes", "pixel_defend-s0", 8, 8),
]


def plan_of(case: Case) -> dict[str, Any]:
    """The plan of a case: one epoch, in fp32, without weights to start from, all clips trained on."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    roots = {"datasets": {case.dataset: {"root": "/data"}}} if case.config not in EMBEDDED else {}
    config = effective_config(ROOT / "config", [ROOT / f"config/{case.config}.yaml"], roots)
    plan = read_config(with_defaults(config, schema), schema)
    model = plan["models"][case.model]
    own = {"epochs": 1, "batch_size": case.at_once, "precision": "fp32", "select_on": "last", "accumulate": 1}
    model["training"] |= own
    model["initial"] = model["selector_initial"] = None
    return plan


def planned(case: Case) -> Work:
    """The plan's estimates."""
    plan = plan_of(case)
    numbers = {name: Numbers(case.clips, case.clips, len(CLASSES), "entry") for name in plan["datasets"]}
    estimates = Estimates(plan=plan, batch_size=case.at_once, counts=read_counts([SHIPPED]), given=numbers)
    made = count_missing(estimates, [(case.dataset, case.model)], [])
    estimates = replace(estimates, counts={**estimates.counts, **made})
    wildcards = {"dataset": case.dataset}
    if case.rule == "train":
        return estimates.work("train", wildcards | {"model": case.model})
    if case.rule == "attack":
        return estimates.work("attack", wildcards | {"source": case.model, "attack": case.attack})
    return estimates.work("predict_clean", wildcards | {"target": case.model})


def prepared(case: Case, folder: Path) -> tuple[Path, Path]:
    """A store of random clips, and a model with fresh weights."""
    plan = plan_of(case)
    estimates = Estimates(plan=plan, batch_size=1, counts={}, given={})
    shape = (*estimates.shape(case.dataset), 3)
    generator = np.random.default_rng(0)
    videos = [Video(f"{CLASSES[i % 2]}/{i:04}.avi", i % 2) for i in range(case.clips)]
    frames = (DecodedClip(generator.integers(0, 256, shape, np.uint8), np.arange(shape[0])) for _ in videos)
    clips, weights = folder / "clips.h5", folder / "model.pt"
    write_store(clips, videos, frames, shape=shape, classes=CLASSES, spec={})
    entry = plan["models"][case.model]
    network, _ = new_network(entry, len(CLASSES))
    checkpoint.save(weights, network, entry=entry, classes=CLASSES, epochs=[], parameters=0, run={})
    return clips, weights


def work(case: Case, folder: Path) -> None:
    """Does the job."""
    plan, device = plan_of(case), torch_device({"device": "cpu", "threads": 1})
    clips, weights = folder / "clips.h5", folder / "model.pt"
    settings = Settings(batch_size=case.at_once, device=device)
    if case.rule == "train":
        outputs = Outputs(weights=folder / "out.pt", history=folder / "out.csv", runs=folder / "runs")
        entry = {key: value for key, value in plan["models"][case.model].items() if "initial" not in key}
        train_model(entry, Inputs(clips=clips), outputs, code="", device=device)
    elif case.rule == "attack":
        names = ("adversarial", "predictions", "audit", "trace")
        make_adversarial_set(
            attack_entry(plan, case.attack),
            source=Source(weights=weights),
            clips=clips,
            run=Run(folder=folder / "runs", code=""),
            settings=settings,
            outputs=SetFiles(**{name: folder / name for name in names}),
        )
    else:
        predict(Source(weights=weights), clips=clips, output=folder / "out.csv", settings=settings)


def child(case: Case, folder: Path, counts: bool) -> None:
    """Does the job in this process, and prints its operations or its peak memory in MB."""
    if counts:
        with Counter() as counter:
            work(case, folder)
        print(json.dumps({"operations": counter.operations}))
        return
    work(case, folder)
    print(json.dumps({"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))


def measured(case: Case, folder: Path, steps: Sequence[str]) -> dict[str, float]:
    """Operations and peak memory of a job, each of a process of its own; those of steps left out are unknown (NaN)."""
    found = {"operations": math.nan, "memory": math.nan}
    for how in steps:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            prepare = [sys.executable, __file__, "--child", case.name, "--scratch", scratch]
            for step in ("prepare", how):
                done = subprocess.run([*prepare, "--step", step], capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(done.stderr)
            found |= json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compared(real: float, planned: float, form: str) -> list[str]:
    """A measured number, the planned one and its error; empty where nothing was measured."""
    if math.isnan(real):
        return ["", f"{planned:{form}}", ""]
    return [f"{real:{form}}", f"{planned:{form}}", f"{planned / real - 1:+.0%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of jobs")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--steps", choices=STEPS, nargs="+", default=STEPS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case = next(case for case in CASES if case.name == options.child)
        if options.step == "prepare":
            prepared(case, options.scratch)
        else:
            child(case, options.scratch, options.step == "counts")
        return
    print(f"torch {torch.__version__}, {len(CASES)} jobs, one thread")
    heads = "job | operations, TFLOP | planned | error | peak memory, MB | planned | error | asked for | asked / used"
    print(f"| {heads} |\n{'|---' * 9}|")
    for case in CASES:
        if not options.only or any(part in case.name for part in options.only):
            real, plan = measured(case, options.scratch, options.steps), planned(case)
            asked = MARGIN * plan.memory + SNAKEMAKE_MB
            cells = compared(real["operations"] / 1e12, plan.operations / 1e12, ".3g")
            cells += compared(real["memory"], plan.memory, ".0f")
            used = "" if math.isnan(real["memory"]) else f"{asked / real['memory']:.2f}"
            print(f"| {' | '.join([case.name, *cells, f'{asked:.0f}', used])} |", flush=True)


if __name__ == "__main__":
    main()
