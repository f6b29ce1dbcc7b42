"""Plans of hundreds to thousands of jobs: their dry run, a run of empty jobs, and tables and a report of 10,000 cells.

    python benchmarks/scale.py --part plans                    # over a plain Snakefile with the same graph of jobs
    python benchmarks/scale.py --part run --seeds 11           # about 2,600 jobs whose scripts only touch their outputs
    python benchmarks/scale.py --part run --only oudefend      # those of one study
    python benchmarks/scale.py --part cells --rows 100 --columns 100

Plans and runs: CPU seconds of `config/demo_more.yaml`. Cells: seconds, also of each job.
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline_lib.clips.splits import Video
from pipeline_lib.clips.status import DecodedClip
from pipeline_lib.clips.store_writer import write_store
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.plan.dry_run import dry_run
from pipeline_lib.provenance.records import record_of

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (1, 11, 34)  # about 270, 2,600 and 8,000 jobs
TARGETS = ("all", "results")
PARTS = ("Snakefile", "workflow", "config", "profiles", "resources", "pipeline_lib", "environment.yml")
SCALE = {"datasets": {"synthetic": {"render": {"test_per_class": 20}}}}

# The same graph: rules, patterns of files, inputs by wildcards; no parameters, resources or records.
PLAIN = """
import json
INPUTS = json.load(open("inputs.json"))
rule all:
    input:
        INPUTS["all"],
"""
RULE = """
rule {name}:
    input:
        lambda wildcards: INPUTS[" ".join(["{name}", *wildcards])],
    output:
        {outputs},
    log:
        {log},
    {body}
"""
SHELL = 'shell: "touch {output}"'
SCRIPT = 'script: "empty.py"'
# `{name}` or `{name,pattern}`, as Snakemake writes it.
WILDCARD = r"\{(\w+)(?:,(?:[^{}]|\{[^{}]*\})*)?\}"
# In place of every script: its outputs, and nothing in them. Jobs are read back by no one.
EMPTY = """
from pathlib import Path
from pipeline_lib.jobs.recording import recorded
with recorded(snakemake.params.identity, Path(snakemake.config["results"])):
    for path in map(Path, snakemake.output):
        path.mkdir(parents=True) if path.name in ("rendered", "downloaded") else path.touch()
"""
# The same without a record.
PLAIN_EMPTY = """
from pathlib import Path
for path in map(Path, snakemake.output):
    path.touch()
"""


def cpu_seconds(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> float:
    """User and system time of a command and all its child processes."""
    before = os.times()
    done = subprocess.run(command, cwd=folder, env=os.environ | (environment or {}), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def snakemake(*options: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all", "--scheduler", "greedy", *options]


def configured(folder: Path, config: dict[str, Any]) -> list[str]:
    """Options for `config/demo_more.yaml` with a configuration on top of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    files = [str(ROOT / "config/demo_more.yaml"), str(folder / "own.yaml")]
    return ["--configfile", *files, "--directory", str(folder)]


@contextmanager
def graph(folder: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Inside, Snakemake's workflow of what `configured` has written, and its jobs without the targets."""
    files = [ROOT / "config/demo_more.yaml", folder / "own.yaml"]
    with dry_run(ROOT / "Snakefile", folder, {}, files) as workflow:
        yield workflow, [job for job in workflow.dag.jobs if job.rule.name not in TARGETS]


def write_plain(folder: Path, body: str = SHELL) -> int:
    """Writes a plain Snakefile with the same graph; the number of its jobs. body: what its rules do."""
    inputs: dict[str, list[str]] = {"all": []}
    with graph(folder) as (_, jobs):
        rules = {job.rule.name: job.rule for job in jobs}
        for job in jobs:
            inputs[" ".join([job.rule.name, *job.wildcards_dict.values()])] = [str(path) for path in job.input]
            inputs["all"] += [str(path) for path in job.output]
        text = "".join(plain_rule(rule, [job for job in jobs if job.rule is rule], body) for rule in rules.values())
    order = " > ".join(sorted(rules, key=lambda name: name in ("table", "predict_transfer")))
    (folder / "plain").mkdir(exist_ok=True)
    (folder / "plain/Snakefile").write_text(f"{PLAIN}\nruleorder: {order}\n{text}")
    (folder / "plain/inputs.json").write_text(json.dumps(inputs))
    (folder / "plain/empty.py").write_text(PLAIN_EMPTY)
    return len(inputs) - 1


def plain_rule(rule: Any, jobs: Sequence[Any], body: str) -> str:
    """A rule with the same outputs and log; wildcards match one name, those of tables and figures theirs."""

    def shorter(path: str, match: re.Match[str]) -> str:
        if path.index(f"{{{match[1]}") < match.start():  # the pattern belongs to the first one
            return f"{{{match[1]}}}"
        if (rule.name, match[1]) == ("predict_transfer", "target"):  # not the file that `attack` makes
            return match[0]
        values = sorted({job.wildcards_dict[match[1]] for job in jobs}) if match[1] in ("study", "figure") else []
        return f"{{{match[1]},{'|'.join(values) or '[^/]+'}}}"

    paths = [str(path) for path in rule.output]
    outputs = ", ".join(repr(re.sub(WILDCARD, partial(shorter, path), path)) for path in paths)
    log = re.sub(WILDCARD, r"{\1}", str(rule.log[0]))
    return RULE.format(name=rule.name, outputs=outputs, log=repr(log), body=body)


def plans(folder: Path, seeds: Sequence[int], rounds: int) -> None:
    """Prints CPU seconds of dry runs, and over those of plain Snakefiles."""
    print("| jobs | dry run, CPU s | plain Snakefile | over it |\n" + "|---" * 4 + "|")
    for count in seeds:
        own = folder / f"seeds{count}"
        options = configured(own, {"seeds": list(range(count))})
        jobs = write_plain(own)
        ours, plain = [], []
        for _ in range(rounds):
            ours.append(cpu_seconds(snakemake("-n", *options), ROOT))
            plain.append(cpu_seconds(snakemake("-n"), own / "plain"))
        ratio = statistics.median(one / other for one, other in zip(ours, plain, strict=True))
        row = (f"{jobs:,}", f"{statistics.median(ours):.1f}", f"{statistics.median(plain):.1f}", f"{ratio:.2f}")
        print(f"| {' | '.join(row)} |", flush=True)


def project(folder: Path) -> Path:
    """A copy of the workflow whose scripts only touch their outputs."""
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for script in (folder / "workflow/scripts").glob("*.py"):
        script.write_text(EMPTY)
    return folder


def run(folder: Path, config: dict[str, Any], given: Sequence[str]) -> None:
    """Prints CPU seconds of a run of empty jobs, and of a plain Snakefile's scripts with the same graph.

    given: options of Snakemake.
    """
    (folder / "clone").mkdir()
    clone, options = project(folder / "clone"), configured(folder / "run", config)
    jobs = write_plain(folder / "run", SCRIPT)
    plain = cpu_seconds(snakemake(*given), folder / "run/plain")
    spent = cpu_seconds(snakemake(*options, *given), clone, {"PYTHONPATH": str(clone)})
    print(f"{jobs:,} empty jobs: {spent:.1f} s of CPU, {spent / plain:.2f} times a plain Snakefile's {plain:.1f} s")


def cells(folder: Path, rows: int, columns: int) -> None:
    """Prints the seconds of one table of many cells, and of the report with it and of its size."""
    options = configured(folder, many_cells(rows, columns))
    pretend(folder)
    for name, target in (("tables", "results/tables/cells.csv"), ("report", "results/report.html")):
        began = time.monotonic()
        cpu_seconds(snakemake(*options, "--", target), ROOT)
        print(f"{name}: {time.monotonic() - began:.1f} s")
    for log in sorted((folder / "results/logs").glob("**/*.used.json")):
        facts = json.loads(log.read_text())
        print(f"  {log.relative_to(folder / 'results/logs')}: {facts['seconds']} s, {facts['peak_mb']} MB")
    print(f"report: {(folder / 'results/report.html').stat().st_size / 1e6:.1f} MB")


def many_cells(rows: int, columns: int) -> dict[str, Any]:
    """A configuration of one study: models without a defense against PGD with many bounds."""
    model = {"network": "tiny", "training": "scratch", "defense": {"method": "standard"}}
    names = [f"m{number:03}" for number in range(rows)]
    attacks = {
        f"a{number:03}": {"base": "pgd", "perturbation": {"epsilon": (number + 1) / 255}} for number in range(columns)
    }
    study = {
        "title": "Cells",
        "dataset": "synthetic",
        "columns": {name: name for name in attacks},
        "rows": {name.upper(): name for name in names},
    }
    inherited = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    more = yaml.safe_load((ROOT / "config/demo_more.yaml").read_text())
    studies = dict.fromkeys([*inherited["studies"], *more["studies"]]) | {"cells": study}
    figures = dict.fromkeys([*inherited.get("figures", {}), *more.get("figures", {})])
    return SCALE | {"models": dict.fromkeys(names, model), "attacks": attacks, "studies": studies, "figures": figures}


def pretend(folder: Path) -> None:
    """Gives every job that computes plausible outputs and their records."""
    draws = random.Random(0)
    with graph(folder) as (workflow, jobs):
        planning = workflow.globals["PLANNING"]
        made = [job for job in jobs if job.rule.name in ("render", "decode", "train", "attack")]
        identities = []
        for job in made:
            for path in (folder / str(path) for path in job.output):
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.name == "rendered":
                    path.mkdir()
                elif path.parent.name == "clips":
                    write_clips(path)
                else:
                    path.write_text(content(path, draws))
            identities.append(planning.identity(str(job.output[0])))
    here = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(4):  # a record repeats facts of those of its inputs
            for identity in identities:
                write_record(Path("results", identity["record"]), record_of(identity, Path("results")))
    finally:
        os.chdir(here)


def write_clips(path: Path) -> None:
    """A store of a few black clips."""
    videos = [Video(f"c{number}/v{number:03}.avi", number) for number in range(6)]
    frames = (DecodedClip(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2)) for _ in videos)
    write_store(path, videos, frames, shape=(2, 4, 4, 3), classes=[f"c{number}" for number in range(6)], spec={})


def content(path: Path, draws: Any) -> str:
    """What a finished job could have written."""
    if "predictions" in path.parts:
        rows = [f"c{k % 6}/v{k:03}.avi,{k % 6},{draws.randrange(6)},{draws.random():.6f}," for k in range(120)]
        return "\n".join(["video,label,prediction,loss,selected", *rows, ""])
    if path.name.endswith("audit.csv"):
        names = "clips,iterations,zero_gradients,zero_elements,start_loss,end_loss,predicted_increase,first_rise,"
        names += "changed_predictions,reached_goals,unchanged_clips,live_bound_ratio,bound_ratio,box_excess,model_gap,"
        names += "gap_allowed,clean_accuracy,live_accuracy,stored_accuracy,recovered_clips,last_fall,last_rise,"
        names += "below_floor,classes,one_answer,answer_entropy,balanced_accuracy"
        return (
            names + "\n120,3,0,0.0001,0.1,0.7,0.1,0.1,0.3,0.3,0,1,1,0,0,0.05,98.5,66.7,66.7,0,0.1,0.4,0,6,0.2,1,98.5\n"
        )
    if path.name.endswith("trace.csv"):
        return "step,accuracy,loss\n0,98.2,0.13\n1,90.5,0.29\n2,80.1,0.5\n3,66.7,0.69\n"
    if "models" in path.parts and path.suffix == ".csv":
        run = "compiled False; device cpu; epoch 1; precision fp32; processes 1; seed 0; torch 2"
        return f"epoch,loss,accuracy,learning_rate,parameters,run\n1,2.3,38.9,0.03,126042,{run}\n"
    return path.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("plans", "run", "cells"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", help="studies and figures of the run of empty jobs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--snakemake", nargs=argparse.REMAINDER, default=[], help="options of the run of empty jobs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.part == "plans":
            plans(folder, options.seeds, options.rounds)
        elif options.part == "run":
            chosen = {"only": options.only} if options.only else {}
            run(folder, {"seeds": list(range(options.seeds[0]))} | chosen, options.snakemake)
        else:
            cells(folder, options.rows, options.columns)


if __name__ == "__main__":
    main()
