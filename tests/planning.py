"""Planning the workflow in process: which jobs Snakemake would run, without running any."""

import shutil
from pathlib import Path
from typing import NamedTuple

from pipeline_lib.entries import classes, fields
from pipeline_lib.jobs.recording import write_record
from pipeline_lib.plan.dry_run import dry_run
from pipeline_lib.provenance import fingerprints, module_files, sources
from pipeline_lib.provenance.records import record_of

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "config", "profiles", "resources", "pipeline_lib", "environment.yml")
CACHES = (fields.fields, module_files.source_file, module_files.own_file, module_files._own_folders)
CACHES += (classes.class_of, classes.find, classes._stand_in, classes._foreign)
CACHES += (fingerprints._closure, fingerprints._imports, fingerprints._digest_of_code, sources.read_source)


def copy_project(folder: Path) -> Path:
    """The parts of the project that a plan depends on, in a folder of their own; its default is `demo_more`, which has
    every rule, model and kind of table."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "config/demo.yaml").rename(folder / "config/compact.yaml")
    more = (folder / "config/demo_more.yaml").read_text()
    (folder / "config/demo.yaml").write_text(more.replace("extends: demo\n", "extends: compact\n"))
    return folder


def laid_over(base: dict, overlay: dict) -> dict:
    """As Snakemake does with several configuration files: mappings are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        merged[key] = (
            laid_over(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        )
    return merged


class Planned(NamedTuple):
    """A job: what it writes, each a path and whether it is a folder, the jobs it takes files from, its resources,
    what its record will contain about its making (None for a target rule), and its parameters."""

    outputs: list[tuple[str, bool]]
    sources: set[tuple[str, ...]]
    resources: dict[str, object]
    identity: dict | None
    params: dict[str, object]


def execute(project: Path, config: dict | None = None, **settings: object) -> dict[tuple[str, ...], Planned]:
    """Plans the workflow, with all triggers, as without a profile; (rule, *wildcards) of the jobs that need to run.

    settings: of the graph of jobs, named as Snakemake's options.
    """
    for cache in CACHES:
        cache.cache_clear()
    with dry_run(project / "Snakefile", project, config or {}, **settings) as workflow:
        dag, planning = workflow.dag, workflow.globals["PLANNING"]
        return {
            name_of(job): Planned(
                outputs(job),
                set(map(name_of, dag.dependencies[job])),
                dict(job.resources.items()),
                planning.identity(str(job.output[0])) if job.output else None,
                dict(job.params.items()),
            )
            for job in dag.needrun_jobs(exclude_finished=False)
        }


def name_of(job) -> tuple[str, ...]:
    return (job.rule.name, *job.wildcards_dict.values())


def outputs(job) -> list[tuple[str, bool]]:
    return [(str(path), bool(path.is_directory)) for path in job.output]


def plan(project: Path, config: dict | None = None, **settings: object) -> set[tuple[str, ...]]:
    """(rule, *wildcards) of every job that would run, the target rules left out."""
    return {job for job in execute(project, config, **settings) if job[0] not in ("all", "results")}


def with_all_that_follows(project: Path, changed: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The changed jobs and, by the files of a project where nothing is done yet, all that take files from them."""
    everything = execute(project, {"results": "elsewhere"})
    assert changed <= everything.keys()
    found, more = set(), set(changed)
    while more:
        found |= more
        more = {name for name, job in everything.items() if job.sources & more} - found - {("all",)}
    return found


def asked(project: Path, config: dict) -> dict[tuple[str, ...], dict]:
    """The resources of every job that would run, its threads as `_cores`."""
    return {name: job.resources for name, job in execute(project, config).items()}


def pretend_finished(project: Path, config: dict | None = None) -> None:
    """Gives every planned output a file with its own path as content, and every job the record of having made them."""
    results = project / ((config or {}).get("results") or "results")
    jobs = execute(project, config)
    for job in jobs.values():
        for path, is_directory in job.outputs:
            target = project / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.mkdir(exist_ok=True) if is_directory else target.write_text(path)
    for _ in range(2):  # a record repeats the facts in those of its inputs
        for job in jobs.values():
            if job.identity:
                write_record(results / job.identity["record"], record_of(job.identity, results))


REPORTING = {
    "table",
    "claims",
    "audit_table",
    "figure",
    "figure_csv",
    "figure_csv_html",
    "figure_html",
    "opening",
    "report",
    "summary",
}


def model_of(target: str) -> str:
    return target.partition("-s")[0]


def names_of(jobs: set) -> set[str]:
    """All wildcards of jobs."""
    return {name for job in jobs for name in job[1:]}


def computing(jobs: set) -> set:
    return {job for job in jobs if job[0] not in REPORTING}


def rules(jobs: set) -> set[str]:
    return {job[0] for job in jobs}


def plan_of_a_fresh_project(finished: Path) -> set:
    return plan(finished, {"results": "elsewhere"})
