"""Which results can be used as they are: there, of the configuration, and made of such results."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline_lib.provenance.comparison import Comparison
from pipeline_lib.provenance.descriptions import Description

NOT_MADE = "not made yet"


@dataclass(frozen=True)
class Availability:
    """Looks at the results of jobs, each once; nothing is written."""

    comparison: Comparison
    known: dict[str, str | None] = field(default_factory=dict)

    def reason(self, path: str) -> str | None:
        """Why a file cannot be used; None if it can, or if no job makes it."""
        job = self.comparison.identities.maker(path)
        if job is None:
            return None
        return self.of_job(job) if Path(path).exists() else NOT_MADE

    def of_job(self, job: Description) -> str | None:
        """Why what exists of a job's results cannot be used: its own record, or that of a job behind it."""
        if job.record not in self.known:
            reasons = (self.of_job(maker) for maker in self._makers(job))
            self.known[job.record] = self.comparison.difference(job) or next(filter(None, reasons), None)
        return self.known[job.record]

    def first(self, path: str) -> Description | None:
        """The job to begin with for a file that cannot be used: the first behind it whose inputs are all there."""
        job = self.comparison.identities.maker(path)
        if job is None:
            return None
        inputs = (one for files in job.input_files().values() for one in files)
        missing = next((one for one in inputs if self.reason(one)), None)
        return job if missing is None else self.first(missing)

    def _makers(self, job: Description) -> list[Description]:
        inputs = (path for files in job.input_files().values() for path in files)
        return [maker for path in inputs if (maker := self.comparison.identities.maker(path))]
