"""Makes Snakemake run the jobs whose results are not those of the configuration, and no others.

Snakemake's own grounds for running a job again are switched off (`snakemake_checks`), modification times by `ancient`
inputs. What remains are missing files, jobs forced by the user, and jobs whose records differ from the plan: these are
forced here, with all that depends on them, while the graph is built.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.jobs import SAME, Jobs
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import SNAKEMAKE
from pipeline_lib.jobs.sharing import PlainRun, Sharing, has_failed, sharing_of
from pipeline_lib.jobs.snakemake_checks import (
    accept_times_of_the_future,
    evaluate_no_parameters,
    ignore_marks_of_unfinished_jobs,
    ignore_triggers,
    read_signatures_once,
)
from pipeline_lib.provenance.comparison import (
    NO_IDENTITY,
    OTHER_BYTES,
    OTHER_FORMAT,
    OTHER_INPUTS,
    OTHER_PLAN,
    Comparison,
)
from pipeline_lib.provenance.descriptions import Description, Identities, below

REPORTED, LONGEST_VALUE = 3, 60
HOW_MADE = {
    NO_IDENTITY: "have no identity: they are of an earlier version, were copied without `identities`, or it is damaged",
    OTHER_FORMAT: "have an identity of another version",
    OTHER_BYTES: "are not the files that their identity describes",
    OTHER_INPUTS: "were made of files that have changed since",
}


@dataclass
class Planning:
    """Compares each job that Snakemake plans with the record of its results.

    workflow: Snakemake's. begin: called once, before the first job is planned, in the main process.
    forced_rules, forced_files: what the user forces (`--forcerun`, `--forceall`, `--force`). targets: files to make.
    """

    workflow: Any
    jobs: Jobs
    begin: Callable[[], None]
    begun: bool = False
    forced_rules: frozenset[str] = frozenset()
    forced_files: frozenset[str] = frozenset()
    target_rules: frozenset[str] = frozenset()
    targets: set[str] = field(default_factory=set)
    planned: dict[str, Description] = field(default_factory=dict)
    different: dict[str, str] = field(default_factory=dict)
    again: dict[str, bool] = field(default_factory=dict)
    seen: dict[str, Description] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.identities = Identities(self.jobs.maker)
        self.comparison = Comparison(self.results, self.identities)

    @property
    def results(self) -> str:
        return self.jobs.paths.results

    def identity(self, output: str) -> dict[str, Any]:
        """What the record of the job that makes a file will contain about its making."""
        job = self.jobs.maker(output)
        if job is None:
            raise PipelineError(f"{output} is not a result of a known kind")
        return self.identities.plain(job, self.results)

    def start(self, targets: Sequence[str] = ()) -> None:
        """Prepares Snakemake before the first job is planned. targets: files that are asked for."""
        self.targets.update(targets)
        if self.begun or not self.workflow.is_main_process:
            return
        self.begun = True
        dag = self.workflow.dag
        self.forced_rules = frozenset(SAME.get(rule.name, rule.name) for rule in dag.forcerules)
        self.forced_files = frozenset(map(str, dag.forcefiles))
        self.target_rules = frozenset(rule.name for rule in dag.targetrules)
        self.targets.update(map(str, dag.targetfiles))
        ignore_triggers(self.workflow)
        evaluate_no_parameters(self.workflow)
        read_signatures_once(self.workflow)
        ignore_marks_of_unfinished_jobs(self.workflow, lambda path: self.jobs.maker(path) is not None)
        report_once(self.summary)
        self.begin()

    def inputs(self, rule: str, wildcards: Mapping[str, str]) -> tuple[Mapping[str, str | Sequence[str]], bool]:
        """The input files of a job by name, and whether Snakemake makes its results again."""
        job = self.jobs.describe(rule, wildcards)
        accept_times_of_the_future(self.workflow)
        if not self.workflow.is_main_process:
            return job.inputs, True
        self.start()
        self.planned[job.record] = job
        if self._is_made_again(job):
            self.workflow.dag.forcefiles.update(job.outputs.values())
        return {**job.inputs, **self._waits_for(job)}, self.again[job.record]

    def _waits_for(self, job: Description) -> dict[str, str]:
        """The set that is made before: a job's clips are iterates of it. Its results are not made of it."""
        longest = self.sharing.longest.get(job.record) if job.rule == "attack" else None
        failed = longest is None or has_failed(Path(self.results), self.identities.of(longest))
        return {} if longest is None or failed else {"after": longest.outputs["adversarial"]}

    @cached_property
    def sharing(self) -> Sharing:
        """Of the attack jobs that the targets need and that have no valid results."""
        for path in self.targets:
            if (job := self.jobs.maker(path)) is not None:
                self._is_made_again(job)
        jobs = [job for job in self.seen.values() if job.rule == "attack"]
        return sharing_of([job for job in jobs if self.again[job.record] or self.comparison.record(job) is None])

    def shared(self) -> dict[str, list[PlainRun]]:
        """What planned jobs make for others, by their identities."""
        return self.sharing.plain(self.planned.values(), self.identities.of)

    def _is_made_again(self, job: Description) -> bool:
        """Whether a job's results are not those of the plan or forced by the user, or depend on such results.

        Files that are only missing are left to Snakemake, except targets: it does not look at any job that depends on
        one that runs again, as it expects the input files of such a job to become newer.
        """
        if job.record not in self.again:
            self.seen[job.record] = job
            difference = self.comparison.difference(job)
            if difference:
                self.different[job.record] = difference
            own = bool(difference) or self.is_forced(job) or self._is_missing(job)
            paths = [path for paths in job.input_files().values() for path in paths]
            makers = {maker.record: maker for path in paths if (maker := self.jobs.maker(path))}
            self.again[job.record] = own or any(list(map(self._is_made_again, makers.values())))
        return self.again[job.record]

    def is_forced(self, job: Description) -> bool:
        """Whether the user forces this job itself."""
        return job.rule in self.forced_rules or not self.forced_files.isdisjoint(job.outputs.values())

    def forced_identities(self) -> list[str]:
        """The identities of the planned jobs that the user forces."""
        return [self.identities.of(job) for job in self.planned.values() if self.is_forced(job)]

    def _is_missing(self, job: Description) -> bool:
        asked = job.outputs.values() if job.rule in self.target_rules else self.targets & {*job.outputs.values()}
        return not all(Path(path).exists() for path in asked)

    def summary(self) -> str | None:
        """What runs again and why, in a few lines; None if all results are those of the configuration."""
        if not self.different:
            return None
        count, total = sum(self.again[record] for record in self.planned), len(self.planned)
        lines = [f"{count} of {total} jobs run again, since results are not those of the configuration:"]
        for why, reason in HOW_MADE.items():
            found = [_name(self.results, record) for record, one in self.different.items() if one == why]
            lines += [f"{len(found)} results {reason} (the first: {found[0]})"] if found else []
        changes = self._changes()
        lines += changes[:REPORTED]
        if len(changes) > REPORTED:
            lines.append(f"and {len(changes) - REPORTED} other changes")
        return "\n  ".join(lines)

    def _changes(self) -> list[str]:
        """The keys that differ, each with its old and new value, and the first result that it changes: those of jobs of
        a data set before those of tables and figures, which repeat them in words."""
        found: dict[str, str] = {}
        for record, why in sorted(self.different.items(), key=lambda one: _is_summary(self.results, one[0])):
            if why == OTHER_PLAN:
                for key, (old, new) in self.comparison.changes(self.planned[record]).items():
                    found.setdefault(f"{key}: {_shown(old)} -> {_shown(new)}", record)
        return [f"{change} ({_name(self.results, record)})" for change, record in found.items()]


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _name(results: str, record: str) -> str:
    return below(results, record).replace("identities/", "").removesuffix(".json")


def _is_summary(results: str, record: str) -> bool:
    """Whether a record is that of a table, figure or page, which belong to no data set."""
    return below(results, record).startswith("identities/")


def report_once(text: Callable[[], str | None]) -> None:
    """Logs a text when the graph of jobs is complete: before Snakemake's own overview of it."""
    for filter_ in [one for one in SNAKEMAKE.filters if isinstance(one, _Report)]:
        SNAKEMAKE.removeFilter(filter_)  # of an earlier plan in this process
    SNAKEMAKE.addFilter(_Report(text))


class _Report(logging.Filter):
    def __init__(self, text: Callable[[], str | None]) -> None:
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if getattr(event, "name", None) == "RUN_INFO" or str(record.msg).startswith("Nothing to be done"):
            SNAKEMAKE.removeFilter(self)
            text = self.text()
            if text:
                SNAKEMAKE.info(text)
        return True
