"""What a job's results are made of, and the identity that follows from it.

An identity is a hash over the job's rule, settings, code, and the identities of the jobs that made its input files. It
is the same for the same work in any folder, on any file system, at any time.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.fingerprints import canonical

FORMAT = 1  # of identities and records
CYCLE = "the files of this job depend on themselves"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the results of a job are made of.

    settings: the part of the configuration that changes the results, plain data without paths of this machine.
    code: the fingerprint of its code. inputs: the paths of its input files, by name: one, or several in order.
    sources: facts about those input files that no job makes, by name: sizes, times or digests.
    outputs: the paths of its results, by name. record: the path of the record of its identity.
    """

    rule: str
    settings: Mapping[str, Any]
    code: str
    inputs: Mapping[str, str | Sequence[str]]
    outputs: Mapping[str, str]
    record: str
    sources: Mapping[str, Any] = field(default_factory=dict)

    def input_files(self) -> dict[str, list[str]]:
        """The paths of the input files, by name."""
        return {name: [paths] if isinstance(paths, str) else list(paths) for name, paths in self.inputs.items()}

    def name_of(self, path: str) -> str:
        """The name of one of the outputs."""
        return next(name for name, output in self.outputs.items() if output == path)


@dataclass(frozen=True)
class Identities:
    """Identities of jobs. maker: the description of the job that makes a file; None for a file that no job makes."""

    maker: Callable[[str], Description | None]
    known: dict[str, str] = field(default_factory=dict)

    def of(self, job: Description) -> str:
        """The identity of a job, 64 hexadecimal digits. Raises PipelineError for a job that depends on itself."""
        if job.record not in self.known:
            self.known[job.record] = ""
            self.known[job.record] = hashlib.sha256(canonical(self._parts(job)).encode()).hexdigest()
        if not self.known[job.record]:
            raise PipelineError(f"{job.record}: {CYCLE}")
        return self.known[job.record]

    def _parts(self, job: Description) -> dict[str, Any]:
        parts = {"format": FORMAT, "rule": job.rule, "settings": job.settings, "code": job.code}
        return parts | {"sources": job.sources, "inputs": self.of_inputs(job)}

    def of_inputs(self, job: Description) -> dict[str, list[str]]:
        """The identity of each input file that a job makes, by name, in order: the job's, and which output it is."""
        made = {
            name: [f"{self.of(maker)}/{maker.name_of(path)}" for path in paths if (maker := self.maker(path))]
            for name, paths in job.input_files().items()
        }
        return {name: identities for name, identities in made.items() if identities}

    def plain(self, job: Description, results: str) -> dict[str, Any]:
        """All that the record of a job contains about its making, as plain data for the job's process."""
        return {
            "identity": self.of(job),
            "rule": job.rule,
            "record": below(results, job.record),
            "settings": job.settings,
            "code": job.code,
            "sources": job.sources,
            "inputs": {name: self._files(paths, results) for name, paths in job.input_files().items()},
            "outputs": {name: below(results, path) for name, path in job.outputs.items()},
        }

    def _files(self, paths: list[str], results: str) -> list[dict[str, str]]:
        made = [(path, maker) for path in paths if (maker := self.maker(path))]
        return [
            {
                "path": below(results, path),
                "record": below(results, maker.record),
                "output": maker.name_of(path),
                "identity": self.of(maker),
            }
            for path, maker in made
        ]


def below(results: str, path: str) -> str:
    """A path relative to the folder of results."""
    return path.removeprefix(f"{results}/")
