"""The plan in numbers: one row for each rule, totals, and the jobs that need most memory."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

from pipeline_lib.plan.jobs import Job
from pipeline_lib.plan.planned import Planned
from pipeline_lib.plan.rates import Rate

PETA, GB, HOUR = 1e15, 1e9, 3600
KINDS = {"decode": "clips", "train": "models", "attack": "adversarial sets", "learn": "learned patterns"}
LARGEST = 5
# Seconds of a run that are not those of operations: once, and for each job (its start, files, tables, figures). Fitted
# to three studies of 151 to 1,851 jobs on two idle cores: benchmarks/README.md, *What `make plan` estimates*.
ONCE, EACH = 23.0, 0.13


@dataclass(frozen=True, kw_only=True)
class Row:
    """The jobs of a rule: their number, and of those that are left operations, hours, bytes, and the largest MB."""

    rule: str
    done: int
    left: int
    operations: float
    hours: float
    disk: float
    memory: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A plan and a rate in numbers. longest: of one job, in hours, and the job. disk: bytes by kind of file, done
    and left."""

    rows: list[Row]
    total: Row
    disk: dict[str, tuple[float, float]]
    largest: list[Job]
    longest: tuple[float, Job | None]

    @property
    def elapsed(self) -> float:
        """The hours from start to end on one machine: those of the operations, and of starting the jobs."""
        return self.total.hours + (ONCE + EACH * self.total.left) / HOUR


def summary_of(planned: Planned, rate: Rate) -> Summary:
    """The numbers of a plan at a rate."""
    rules = Counter(job.rule for job in planned.jobs)
    rows = [_row(rule, (job for job in planned.jobs if job.rule == rule), planned, rate) for rule in rules]
    rows.sort(key=lambda row: -row.operations)
    left = [job for job in planned.jobs if job.left]
    largest = sorted({job.work.memory: job for job in left if job.work.memory}.items(), reverse=True)
    return Summary(
        rows=rows,
        total=_row("total", planned.jobs, planned, rate),
        disk=_disk(planned.jobs),
        largest=[job for _, job in largest[:LARGEST]],
        longest=max(
            ((hours(job, planned, rate) * rate.jobs, job) for job in left), key=itemgetter(0), default=(0.0, None)
        ),
    )


def _row(rule: str, jobs: Iterable[Job], planned: Planned, rate: Rate) -> Row:
    jobs = list(jobs)
    left = [job for job in jobs if job.left]
    return Row(
        rule=rule,
        done=len(jobs) - len(left),
        left=len(left),
        operations=sum(job.work.operations for job in left),
        hours=sum(hours(job, planned, rate) for job in left),
        disk=sum(job.work.disk for job in left),
        memory=max((job.work.memory for job in left), default=0.0),
    )


def hours(job: Job, planned: Planned, rate: Rate) -> float:
    """The hours that a job adds where as many jobs run side by side as the rate assumes."""
    return rate.seconds(job.work, planned.precision(job)) / HOUR


def _disk(jobs: Iterable[Job]) -> dict[str, tuple[float, float]]:
    found = {kind: [0.0, 0.0] for kind in KINDS.values()}
    for job in jobs:
        if job.rule in KINDS:
            found[KINDS[job.rule]][job.left] += job.work.disk
    return {kind: (done, left) for kind, (done, left) in found.items() if done or left}
