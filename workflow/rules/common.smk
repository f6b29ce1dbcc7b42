# Shared by the rules: the resolved configuration, paths, and the inputs, resources and parameters of jobs.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

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
from pipeline_lib.configuration.patterns import pattern_before_another, pattern_of
from pipeline_lib.configuration.reading import jobs_of, read_schema
from pipeline_lib.configuration.requests import Requests, cores, reached
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.configuration.targets import all_targets, split_target
from pipeline_lib.configuration.yaml_files import with_types
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs import forcing, results_lock, sharing, used, warm
from pipeline_lib.jobs.containers import check_image
from pipeline_lib.jobs.counts import SHIPPED, counts_file, read_counts
from pipeline_lib.jobs.devices import check_limit, gpus_per_job, oversubscription
from pipeline_lib.jobs.learned import learned
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.planning import Planning
from pipeline_lib.jobs.run_files import write_run_files
from pipeline_lib.jobs.scheduling import remove_default_rate_limit
from pipeline_lib.provenance.fingerprints import fingerprint

LIMIT = workflow.global_resources.get("gpu")
ALLOWED = getattr(LIMIT, "value", LIMIT)

try:
    SCHEMA = read_schema(ROOT)
    GIVEN = workflow.config_settings
    if workflow.modifier.parent_modifier is None:
        config = effective_config(ROOT / "config", GIVEN.configfiles, GIVEN.config)
    else:  # a module: Snakemake has merged files and command line into what the other workflow passes on
        config = effective_config(ROOT / "config", [], {}, with_types(config, GIVEN.config))
    config = with_defaults(config, SCHEMA)
    JOBS = jobs_of(config, SCHEMA, ROOT)
    PLAN, PATHS, LAYOUTS = JOBS.plan, JOBS.paths, JOBS.layouts
    TRAINING_GPUS = gpus_per_job(config["device"], config["gpus"])
    if workflow.is_main_process:
        check_limit(ALLOWED, TRAINING_GPUS)
        check_image(config["container"], DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method)
except PipelineError as error:
    raise WorkflowError(str(error)) from None

GPUS = gpus_per_job(config["device"])
CORES, TRAINING_CORES = (cores(gpus, config["threads"]) for gpus in (GPUS, TRAINING_GPUS))
BATCH_SIZE = config["evaluation"]["batch_size"]
COUNTS = read_counts([SHIPPED, counts_file(config["results"])])
REQUESTS = Requests(
    plan=PLAN,
    batch_size=BATCH_SIZE,
    training_processes=max(1, TRAINING_GPUS),
    tflops=reached(config["tflops"], GPUS, config["threads"]),
    on_gpu=bool(GPUS),
    counts=COUNTS,
    learned=learned(Path(config["results"]), bool(GPUS)),
)

if not workflow.is_main_process:  # a cluster's job runs its own Snakemake
    warm.disable()


onstart:
    if workflow.is_main_process:
        forcing.mark(Path(config["results"]), PLANNING.forced_identities())
        sharing.write_shared(Path(config["results"]), PLANNING.shared())
        write_run_files(Path(config["results"]), config)
        warm.start()
        remove_default_rate_limit(workflow.scheduler)
        warning = oversubscription(ALLOWED, config["device"], config["gpu_share"])
        if warning and workflow.local_exec:  # a cluster assigns its GPUs itself
            LOGGER.warning(warning)


onsuccess:
    results_lock.release(Path(config["results"]))
    if workflow.is_main_process:
        used.write_table(Path(config["results"]))


onerror:
    results_lock.release(Path(config["results"]))
    if workflow.is_main_process:
        used.write_table(Path(config["results"]))
        show_partial_tables()


container: config["container"]


TARGETS = pattern_of(all_targets(PLAN["models"]))


wildcard_constraints:
    dataset=pattern_of(PLAN["datasets"]),
    split="train|test",
    model=pattern_of(PLAN["models"]),
    source=pattern_of([*all_targets(PLAN["models"]), *PLAN["sets"]]),
    target=TARGETS,
    attack=pattern_of(PLAN["attacks"]),
    study=pattern_of(PLAN["studies"]),
    cascade="[a-z0-9_]*-s[0-9]+(-worst)?",


def code(script, *entries):
    """The fingerprint of a job's code: its adapter and the methods that its entries name."""
    return fingerprint(ROOT / "workflow/scripts" / script, *entries)


def cascade_of(wildcards):
    return PLAN["studies"][wildcards.study]["cascades"][wildcards.cascade]


def begin_planning():
    """Takes the lock of the results, once, when the first job is planned; plans that make nothing do not."""
    if workflow.executor_plugin is not None and not workflow.dryrun and not workflow.touch:
        results_lock.hold_or_exit(Path(config["results"]), config["lock_wait"])


def show_partial_tables():
    """After a failure: the tables with what is there. The failure itself is what Snakemake reports."""
    from pipeline_lib.reporting.partial import write_partial_tables

    try:
        logger.info(f"What is there as tables:\n{write_partial_tables(JOBS)}")
    except Exception as error:
        logger.info(f"There are no partial tables: {error}")


PLANNING = Planning(workflow, JOBS, begin_planning)


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
