"""Workflows of a few tiny jobs as processes, in any folder and by any user: which jobs ran, and what they left."""

import os
import re
import subprocess
import sys
from pathlib import Path

from configured import SCHEMA
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.reading import config_of, jobs_of
from pipeline_lib.provenance.descriptions import Description
from planning import ROOT

CONFIG = ROOT / "tests/faults.yaml"
TABLES = ("tables/faults.md", "tables/audit.md", "summary.json")
# Attack PGD, at 8/255 in the configuration, with another bound, and the jobs that follow from it.
STRONGER = ("attacks={pgd: {perturbation: {epsilon: 128/255}}}",)
THAT_DIFFER = {
    *("tiny/train/at_pgd-s0", "tiny/predict/at_pgd-s0/clean", "tiny/attack/at_pgd-s0/pgd", "tiny/attack/at_pgd-s0/roa"),
    *("tiny/learn/at_pgd-s0/universal", "tiny/attack/at_pgd-s0/universal"),
    *("tiny/attack/standard-s0/pgd", "table/faults", "audit", "summary"),
}
SECONDS = 600
MORE = int(os.environ.get("FAULTS", "0"))
KILLS, FLIPS = MORE or 5, 10 * MORE or 300
SEED = int(os.environ.get("FAULTS_SEED", "0"))


def start(
    folder: Path,
    *arguments: str,
    given: tuple[str, ...] = (),
    results: str = "results",
    clone: Path = ROOT,
    files: tuple[str, ...] = TABLES,
    before: tuple[str, ...] = (),
) -> subprocess.Popen:
    """Starts Snakemake in a folder, in a process group of its own. given: `--config`; before: words of the command."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [*before, sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    command += ["--configfile", str(CONFIG), "--config", f"results={results}", *given, *arguments]
    command += ["--", *(f"{results}/{name}" for name in files)]
    log = (folder / "snakemake.log").open("w")
    return subprocess.Popen(command, cwd=clone, stdout=log, stderr=log, start_new_session=True)


def output(folder: Path) -> str:
    return (folder / "snakemake.log").read_text()


def finish(folder: Path, *arguments: str, **options: object) -> set[str]:
    """Runs the workflow to its end: the jobs that ran, named as their records."""
    process = start(folder, *arguments, **options)
    assert process.wait(SECONDS) == 0, output(folder)[-3000:]
    return jobs_in(output(folder))


def jobs_in(text: str) -> set[str]:
    """The jobs that Snakemake started, by the names of their logs below `results`, without `logs`."""
    return {name.replace("logs/", "") for name in re.findall(r"^    log: \S*results/(\S+)\.log", text, re.MULTILINE)}


def contents(results: Path) -> dict[str, bytes]:
    """The bytes of all results, without what describes a run: records, `run.json`, `config.yaml`, logs, run folders."""
    files = (path for path in results.rglob("*") if path.is_file())
    names = {str(path.relative_to(results)): path for path in files}
    hidden = re.compile(r"(^|/)(\.|logs/|identities/)|^(run\.json|config\.yaml)$")
    return {name: path.read_bytes() for name, path in names.items() if not hidden.search(name)}


def different(one: Path, other: Path) -> set[str]:
    """The names of the results whose bytes are not the same in two folders of results."""
    first, second = contents(one), contents(other)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def all_jobs(results: Path) -> tuple[Jobs, list[Description]]:
    """The jobs of the configuration, those that made the files of a finished folder of results."""
    jobs = jobs_of(config_of([CONFIG], {"results": str(results)}), SCHEMA, ROOT)
    files = [str(path) for path in results.rglob("*") if path.is_file() or path.name == "rendered"]
    found = {job.record: job for path in files if (job := jobs.maker(path))}
    return jobs, list(found.values())
