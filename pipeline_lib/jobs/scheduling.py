"""How often Snakemake's scheduler looks at the jobs that are ready."""

from typing import Any

# Of Snakemake: jobs, seconds.
DEFAULT_LIMIT = (100, 1)


def remove_default_rate_limit(scheduler: Any) -> None:
    """Removes the limit of 100 started jobs a second, which is Snakemake's default, from its scheduler.

    With a limit, Snakemake (9.27) looks at all ready jobs again a second after each look, and every finished job adds a
    look of its own: with hundreds of ready jobs its process uses a core all the time. A limit that the user chose
    (`--max-jobs-per-timespan`) stays.
    """
    limiter = scheduler.job_rate_limiter
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == DEFAULT_LIMIT:
        scheduler.job_rate_limiter = None
