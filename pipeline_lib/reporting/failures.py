"""Why the jobs that come first have not made their files: what they reported last, from what is kept of their logs."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline_lib.jobs.kept_logs import kept_log, last_error
from pipeline_lib.provenance.availability import NOT_MADE, Availability
from pipeline_lib.provenance.descriptions import Description


@dataclass(frozen=True)
class Failures:
    """Looks for the job behind each file, and at each log, once. results: the folder."""

    availability: Availability
    results: Path
    known: dict[str, str | None] = field(default_factory=dict)
    jobs: dict[str, Description | None] = field(default_factory=dict)

    def error(self, path: str) -> str | None:
        """The error behind a file that is not made; None without one, or if the file is there."""
        job = self.first(path) if self.availability.reason(path) == NOT_MADE else None
        return self.of(job) if job else None

    def first(self, path: str) -> Description | None:
        """The job to begin with for a file that cannot be used, as `Availability.first`."""
        if path not in self.jobs:
            self.jobs[path] = self.availability.first(path)
        return self.jobs[path]

    def of(self, job: Description) -> str | None:
        """The error with which the last run of a job ended; None if it has not run as it is configured now, or not
        failed."""
        if job.record not in self.known:
            identity = self.availability.comparison.identities.of(job)
            self.known[job.record] = last_error(kept_log(self.results, {"identity": identity}))
        return self.known[job.record]
