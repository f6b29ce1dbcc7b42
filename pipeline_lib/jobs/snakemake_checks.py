"""Snakemake's own grounds for making a result again or for refusing it, switched off: the records decide.

Each function changes Snakemake's workflow of this process, after its graph of jobs was created.
"""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any


def ignore_triggers(workflow: Any) -> None:
    """Nothing in `.snakemake` makes Snakemake run a job again."""
    workflow.dag_settings.rerun_triggers = frozenset()


def ignore_marks_of_unfinished_jobs(workflow: Any, has_record: Callable[[str], bool]) -> None:
    """Lets Snakemake see no marks of jobs that have records; those of the user's own rules count.

    A job that was killed behind its record is marked. Snakemake would force it, and then look at no job that depends
    on it, not even at a missing target. has_record: whether a result has one, by its path.
    """
    persistence = workflow.persistence
    marked = persistence.incomplete

    async def incomplete(job: Any) -> list[Any]:
        return [] if job.output and has_record(str(job.output[0])) else await marked(job)

    persistence.incomplete = incomplete


def accept_times_of_the_future(workflow: Any) -> None:
    """After a job, Snakemake compares no times: it would refuse results as older than their input files.

    Files are of the future after a clock was set back, or come from a machine whose clock is ahead.
    """

    async def nothing_to_compare(job: Any, outputs: Any) -> None:
        return

    workflow.dag.check_output_mtime = nothing_to_compare


def evaluate_no_parameters(workflow: Any) -> None:
    """A plan does not evaluate the parameters of each job: for the name of its environment, which only `--sdm conda`
    needs, and to see whether its script is there, which is looked at once for each rule.
    """
    if "CONDA" not in {method.name for method in workflow.deployment_settings.deployment_method}:
        workflow.dag.update_conda_envs = lambda: None
    for processor in workflow.dag.dag_processors:
        processor.process_job = once_for_each_rule(processor.process_job)


def once_for_each_rule(process: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same function of jobs, called for the first job of each rule whose script is not a file of this machine."""
    seen = set()

    def first(job: Any) -> None:
        if job.rule not in seen or "{" in str(job.rule.script):  # with the name in a wildcard, each is another one
            seen.add(job.rule)
            if not _has_script(job.rule):
                process(job)

    return first


def _has_script(rule: Any) -> bool:
    """Whether a rule's script is a file of this machine, by its name in the rule."""
    if not rule.script or "{" in str(rule.script):
        return False
    return Path(rule.basedir.join(str(rule.script)).get_path_or_uri(secret_free=True)).is_file()


def read_signatures_once(workflow: Any) -> None:
    """Writes the parameters of the functions in rules where Snakemake looks for them before it reads the signature,
    which it does several times for each job.
    """
    from snakemake.common import overwrite_function_params
    from snakemake.resources import Resource

    arguments = signature(Resource("any", 0).evaluate).parameters
    overwrite_function_params(Resource.evaluate, arguments)
    for rule in workflow.rules:
        resources = [resource._evaluator for resource in rule.resources.values()]
        for function in filter(callable, [*map(_function, [*rule.input, *rule.params]), *resources]):
            overwrite_function_params(function, signature(function).parameters)


def _function(item: Any) -> Any:
    """The function that gives files or a parameter; anything else for constant ones."""
    return getattr(getattr(item, "_file", item), "callable", item)
