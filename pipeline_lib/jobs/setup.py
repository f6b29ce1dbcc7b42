"""A run of the workflow, set up from what Snakemake passes: its configuration, jobs and requests, its start and end."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.reading import jobs_of, read_schema
from pipeline_lib.configuration.requests import Requests, cores, reached
from pipeline_lib.configuration.stacking import effective_config
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.configuration.yaml_files import with_types
from pipeline_lib.jobs import forcing, interruption, results_lock, sharing, used, warm
from pipeline_lib.jobs.containers import check_image
from pipeline_lib.jobs.counts import SHIPPED, counts_file, read_counts
from pipeline_lib.jobs.devices import check_limit, gpus_per_job, oversubscription
from pipeline_lib.jobs.learned import learned
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.planning import Planning
from pipeline_lib.jobs.run_files import write_run_files
from pipeline_lib.jobs.scheduling import remove_default_rate_limit
from pipeline_lib.provenance.content_digests import DIGESTS

NEW_OBJECTS = 20_000  # until Python looks for garbage among them; its default is 700


@dataclass(frozen=True)
class WorkflowRun:
    """A configuration with defaults, and its jobs. workflow: Snakemake's."""

    workflow: Any
    config: dict[str, Any]
    jobs: Jobs

    @property
    def results(self) -> Path:
        return Path(self.config["results"])

    @property
    def gpus(self) -> int:
        """Of a job with a network."""
        return gpus_per_job(self.config["device"])

    @property
    def training_gpus(self) -> int:
        return gpus_per_job(self.config["device"], self.config["gpus"])

    @property
    def cores(self) -> int:
        """Of a job with a network."""
        return cores(self.gpus, self.config["threads"])

    @property
    def training_cores(self) -> int:
        return cores(self.training_gpus, self.config["threads"])

    @cached_property
    def requests(self) -> Requests:
        """Memory and minutes of jobs, by counted operations and by what earlier runs used."""
        return Requests(
            plan=self.jobs.plan,
            batch_size=self.config["evaluation"]["batch_size"],
            training_processes=max(1, self.training_gpus),
            tflops=reached(self.config["tflops"], self.gpus, self.config["threads"]),
            on_gpu=bool(self.gpus),
            counts=read_counts([SHIPPED, counts_file(self.config["results"])]),
            learned=learned(self.results, bool(self.gpus)),
        )

    def resources(self, rule: str) -> dict[str, Any]:
        """GPUs, memory and minutes of a rule's jobs, which have a network: for `resources`."""
        return {
            "gpu": self.training_gpus if rule == "train" else self.gpus,
            "mem_mb": lambda wildcards, attempt: self.requests.memory(rule, as_mapping(wildcards), attempt),
            "runtime": lambda wildcards, attempt: self.requests.minutes(rule, as_mapping(wildcards), attempt),
        }

    def estimate(self, rule: str) -> Callable[[Any], dict[str, float]]:
        """The estimate of a job by Snakemake's wildcards: for `params`."""
        return lambda wildcards: self.requests.estimate(rule, as_mapping(wildcards))

    def check(self) -> None:
        """Raises PipelineError for more GPUs than allowed, or an image that jobs cannot run in."""
        from snakemake.settings.types import DeploymentMethod

        check_limit(allowed_gpus(self.workflow), self.training_gpus)
        in_containers = DeploymentMethod.APPTAINER in self.workflow.deployment_settings.deployment_method
        check_image(self.config["container"], in_containers)

    def hold_results(self) -> None:
        """Takes the lock of the results, when the first job is planned; plans that make nothing do not."""
        if self.workflow.executor_plugin is not None and not self.workflow.dryrun and not self.workflow.touch:
            results_lock.hold_or_exit(self.results, self.config["lock_wait"])
            results_lock.release_after_snakemake(self.workflow.persistence, self.results)

    def begin(self, planning: Planning) -> None:
        """At the start of the first job, in the main process."""
        DIGESTS.save()
        forcing.mark(self.results, planning.forced_identities())
        sharing.write_shared(self.results, planning.shared())
        write_run_files(self.results, self.config)
        warm.start()
        interruption.stop_jobs_when_interrupted()
        remove_default_rate_limit(self.workflow.scheduler)
        warning = oversubscription(allowed_gpus(self.workflow), self.config["device"], self.config["gpu_share"])
        if warning and self.workflow.local_exec:  # a cluster assigns its GPUs itself
            LOGGER.warning(warning)

    def end(self) -> None:
        """After the last job, also of a run that failed."""
        if self.workflow.is_main_process:
            used.write_table(self.results)


def as_mapping(wildcards: Any) -> dict[str, str]:
    """Snakemake's wildcards as a mapping, which they are not: they have no values(), for example."""
    return dict(wildcards.items())


def set_up(workflow: Any, given: Mapping[str, Any], root: Path) -> WorkflowRun:
    """The run of a configuration.

    given: as merged by Snakemake, which counts if this workflow is another one's module: the other workflow passes it
    on. root: the folder of this workflow.

    Raises:
        PipelineError: a configuration that cannot be planned, or run with the options of this call.
    """
    exclude_loaded_from_collection()
    schema, options = read_schema(root), workflow.config_settings
    if workflow.modifier.parent_modifier is None:
        config = effective_config(root / "config", options.configfiles, options.config)
    else:
        config = effective_config(root / "config", [], {}, with_types(given, options.config))
    config = with_defaults(config, schema)
    run = WorkflowRun(workflow, config, jobs_of(config, schema, root))
    if workflow.is_main_process:
        run.check()
    else:  # a cluster's job runs its own Snakemake
        warm.disable()
    return run


@cache
def exclude_loaded_from_collection() -> None:
    """Takes what is loaded so far out of the garbage collection, and collects less often, once in a process.

    Modules stay until the process ends; Python would look at their 150,000 objects twice more, a tenth of a dry run.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


def allowed_gpus(workflow: Any) -> int | None:
    """The limit of `--resources gpu`; None without one."""
    limit = workflow.global_resources.get("gpu")
    found: int | None = getattr(limit, "value", limit)
    return found
