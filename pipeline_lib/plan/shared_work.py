"""The work of attack jobs that one run makes together, in the job that does it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pipeline_lib.configuration.estimates import Estimates
from pipeline_lib.configuration.pass_costs import COMPUTED
from pipeline_lib.plan.jobs import Job

# Passes that score the attacked and the stored clips; the clean ones are scored once.
SCORES = 2


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
        if name in makers:
            return job._replace(work=job.work.times(0))
        more = _scores(job.wildcards, estimates)
        total = {key: getattr(job.work, key) + others[name] * more[key] for key in COMPUTED}
        return job._replace(work=job.work._replace(**total))

    return [shared(*one) if one[0] in makers or one[0] in others else one[1] for one in zip(records, jobs, strict=True)]


def _scores(wildcards: Mapping[str, str], estimates: Estimates) -> dict[str, float]:
    """What the scores of one more set on the same source cost."""
    one = estimates.work("predict_clean", {"dataset": wildcards["dataset"], "target": wildcards["source"]})
    return {name: getattr(one.times(SCORES), name) for name in COMPUTED}
