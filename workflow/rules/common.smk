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
from pipeline_lib.configuration.front_facts import front_facts, numbered_figure, numbered_study
from pipeline_lib.configuration.parameters import plain
from pipeline_lib.configuration.patterns import NAME, NAME_BEFORE_ANOTHER, pattern_of
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.planning import Planning
from pipeline_lib.jobs.setup import set_up
from pipeline_lib.provenance.fingerprints import fingerprint

try:
    RUN = set_up(workflow, config, ROOT)
except PipelineError as error:
    raise WorkflowError(str(error)) from None

config = RUN.config
JOBS, REQUESTS = RUN.jobs, RUN.requests
PLAN, PATHS, LAYOUTS = JOBS.plan, JOBS.paths, JOBS.layouts
GPUS, TRAINING_GPUS = RUN.gpus, RUN.training_gpus
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


def code(script, *entries):
    """The fingerprint of a job's code: its adapter and the methods that its entries name."""
    return fingerprint(ROOT / "workflow/scripts" / script, *entries)


def inputs_of(rule):
    """An input function: the files of `Jobs`. Their modification times do not count: the job's record decides."""

    def inputs(wildcards):
        try:
            files, again = PLANNING.inputs(rule, dict(wildcards.items()))
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


def estimate_of(rule):
    """For `params`: a job's memory and operations as estimated, for the table of what jobs used."""
    return lambda wildcards: REQUESTS.estimate(rule, wildcards)


def identity(wildcards, output):
    """For `params`: what a job's results are made of, for their record."""
    return PLANNING.identity(output[0])
