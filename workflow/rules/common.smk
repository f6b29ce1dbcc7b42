# Shared by the rules: the resolved configuration, paths, and the inputs, resources and parameters of jobs.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Of this file: in a module, the main Snakefile is another workflow's.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve().parents[1]
if not (ROOT / "pipeline_lib").is_dir():
    raise WorkflowError(f"{ROOT} is no clone of this workflow on this machine: clone it, and name its Snakefile.")
sys.path.insert(0, str(ROOT))

from pipeline_lib.configuration import parameters
from pipeline_lib.configuration.captions import figure_caption
from pipeline_lib.configuration.figures import all_figures, figure_files, figure_rules
from pipeline_lib.configuration.front_facts import front_facts, numbered_figures, numbered_studies
from pipeline_lib.configuration.parameters import plain
from pipeline_lib.configuration.patterns import NAME, NAME_BEFORE_ANOTHER, pattern_of
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.planning import Planning
from pipeline_lib.jobs.report_entries import figure_outputs, study_outputs, table_outputs
from pipeline_lib.jobs.setup import as_mapping, set_up
from pipeline_lib.provenance.fingerprints import fingerprint
from pipeline_lib.records import titles

try:
    RUN = set_up(workflow, config, ROOT)
except PipelineError as error:
    raise WorkflowError(str(error)) from None

config = RUN.config
JOBS, REQUESTS = RUN.jobs, RUN.requests
PLAN, PATHS, LAYOUTS = JOBS.plan, JOBS.paths, JOBS.layouts
CORES, TRAINING_CORES = RUN.cores, RUN.training_cores
BATCH_SIZE = config["evaluation"]["batch_size"]
PLANNING = Planning(workflow, JOBS, RUN.hold_results)


onstart:
    if workflow.is_main_process:
        RUN.begin(PLANNING)


onsuccess:
    RUN.end()


onerror:
    RUN.end()
    if workflow.is_main_process:
        from pipeline_lib.reporting.partial import show_partial_tables

        show_partial_tables(JOBS, logger.info)


container: config["container"]


wildcard_constraints:
    dataset=pattern_of(PLAN["datasets"]),
    split="train|test",
    model=NAME,
    source=NAME,
    target=NAME,
    attack=NAME,
    study=pattern_of(PLAN["studies"]),
    cascade="[a-z0-9_]*-s[0-9]+(-worst)?",


def inputs_of(rule):
    """An input function: the files of `Jobs`. Their modification times do not count: the job's record decides."""

    def inputs(wildcards):
        try:
            files, again = PLANNING.inputs(rule, as_mapping(wildcards))
        except PipelineError as error:
            raise WorkflowError(str(error)) from None
        return files if again else {name: unaged(paths) for name, paths in files.items()}

    return inputs


def unaged(paths):
    """One path or several, marked so that Snakemake does not compare their modification times."""
    return ancient(paths) if isinstance(paths, str) else [ancient(path) for path in paths]


def planned(files):
    """The files of a target rule. Planning begins here: the lock is taken before Snakemake looks at any file."""
    if not PLAN["studies"] and not PLAN["figures"]:
        raise WorkflowError("config: there are no `studies` and no `figures`, so there is nothing to make: name some")
    try:
        PLANNING.start(files)
    except PipelineError as error:
        raise WorkflowError(str(error)) from None
    return files


def recorded(rule, seen=None):
    """For `params` of jobs with a network: what the record of a job and the table of what jobs used contain.

    seen: the wildcard of a target, whose branch is a parameter too.
    """
    branch = {"branch": lambda wildcards: split_target(wildcards[seen])[1]} if seen else {}
    return branch | {
        "identity": identity,
        "estimate": RUN.estimate(rule),
        "code": lambda wildcards, output: JOBS.maker(output[0]).code,
    }


def identity(wildcards, output):
    """For `params`: what a job's results are made of, for their record."""
    return PLANNING.identity(output[0])
