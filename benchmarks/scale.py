"""Plans of hundreds to thousands of jobs: their dry run, and a run of empty jobs. Tables of many cells: `cells.py`.

    python benchmarks/scale.py --part plans                    # over a plain Snakefile with the same graph of jobs
    python benchmarks/scale.py --part run --seeds 11           # about 2,600 jobs whose scripts only touch their outputs
    python benchmarks/scale.py --part run --only oudefend      # those of one study
    python benchmarks/scale.py --part run --seeds 11 --forms touch    # `touch` of a shell in place of scripts

CPU seconds of `config/demo_more.yaml`.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipeline_lib.plan.dry_run import dry_run

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
TOUCH = "for one in {output}; do case $one in *rendered|*downloaded) mkdir -p $one;; *) touch $one;; esac; done"
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
    folder.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for script in (folder / "workflow/scripts").glob("*.py"):
        script.write_text(EMPTY)
    return folder


def without_scripts(folder: Path) -> Path:
    """A copy of the workflow whose rules touch their outputs without a script, and so without records."""
    for rules in (project(folder) / "workflow/rules").glob("*.smk"):
        rules.write_text(re.sub(r'\bscript:(\s*)"[^"]*"', rf"shell:\1'{TOUCH}'", rules.read_text()))
    return folder


def run(folder: Path, config: dict[str, Any], given: Sequence[str], forms: Sequence[str]) -> None:
    """Prints CPU seconds of runs of empty jobs, and over those of plain Snakefiles with the same graph.

    given: options of Snakemake. forms: of FORMS.
    """
    for name in forms:
        form, own = FORMS[name], folder / name
        options = configured(own / "run", config)
        jobs = write_plain(own / "run", form.plain)
        plain = cpu_seconds(snakemake(*given), own / "run/plain")
        clone = form.copy(own / "clone")
        spent = cpu_seconds(snakemake(*options, *given), clone, {"PYTHONPATH": str(clone)})
        words = f"{spent:.1f} s of CPU, {spent / plain:.2f} times a plain Snakefile's {plain:.1f} s"
        print(f"{jobs:,} empty jobs, {name}: {words}", flush=True)


class Form(NamedTuple):
    """What empty jobs do: in a plain Snakefile, and in a copy of the workflow."""

    plain: str
    copy: Callable[[Path], Path]


FORMS = {"scripts": Form(SCRIPT, project), "touch": Form(SHELL, without_scripts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("plans", "run"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--only", nargs="+", help="studies and figures of the run of empty jobs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--forms", choices=FORMS, nargs="+", default=list(FORMS), help="what the empty jobs do")
    parser.add_argument("--snakemake", nargs=argparse.REMAINDER, default=[], help="options of the run of empty jobs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.part == "plans":
            plans(folder, options.seeds, options.rounds)
        else:
            chosen = {"only": options.only} if options.only else {}
            run(folder, {"seeds": list(range(options.seeds[0]))} | chosen, options.snakemake, options.forms)


if __name__ == "__main__":
    main()
