"""The work of attack jobs that one run makes together, in the job that does it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.plan.jobs import Job


def in_shared_runs(
    jobs: Sequence[Job], longest: Mapping[str, str], record: Callable[[Job], str], estimates: Estimates
) -> list[Job]:
    """The jobs, of which one attacks for others that differ in their number of iterations only, and scores their clips.

    longest: the record of each of the others, and that of the one. record: of a job. Requests are left as they are:
    after an error each job attacks its own clips.
    """
    records = [record(job) for job in jobs]
    left = {name for name, job in zip(records, jobs, strict=True) if job.left}
    makers = {other: maker for other, maker in longest.items() if {other, maker} <= left}
    others = Counter(makers.values())

    def shared(name: str, job: Job) -> Job:
        operations = job.work.operations + others[name] * estimates.scores_of_one_more(job.wildcards)
        return job._replace(work=job.work._replace(operations=0.0 if name in makers else operations))

    return [shared(*one) if one[0] in makers or one[0] in others else one[1] for one in zip(records, jobs, strict=True)]
