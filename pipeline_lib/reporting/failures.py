"""Why the jobs that come first have not made their files: what they reported last, from what is kept of their logs."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline_lib.jobs.kept_logs import kept_log, last_error
from pipeline_lib.provenance.availability import NOT_MADE, Availability
from pipeline_lib.provenance.descriptions import Description


@dataclass(frozen=True)
class Failures:
    """Looks at each log once. results: the folder."""

    availability: Availability
    results: Path
    known: dict[str, str | None] = field(default_factory=dict)

    def reason(self, path: str) -> str | None:
        """Why a file cannot be used, as `Availability.reason`; of one that is not made with the error behind it."""
        why = self.availability.reason(path)
        job = self.availability.first(path) if why == NOT_MADE else None
        error = self.of(job) if job else None
        return f"{why}: {error}" if error else why

    def of(self, job: Description) -> str | None:
        """The error with which the last run of a job ended; None if it has not run as it is configured now, or not
        failed."""
        if job.record not in self.known:
            identity = self.availability.comparison.identities.of(job)
            self.known[job.record] = last_error(kept_log(self.results, {"identity": identity}))
        return self.known[job.record]
