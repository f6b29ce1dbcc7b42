"""Comparison of a job's results with the plan, by the record of their identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.provenance.descriptions import FORMAT, Description, Identities
from pipeline_lib.provenance.file_facts import result_facts
from pipeline_lib.provenance.records import bytes_in, read_record

NO_IDENTITY = "no identity"
OTHER_FORMAT = "another version's identity"
OTHER_BYTES = "other bytes than were recorded"
OTHER_INPUTS = "made of other bytes"
OTHER_PLAN = "other settings, code or inputs"


@dataclass(frozen=True)
class Comparison:
    """Compares the results of jobs with their descriptions. results: the folder of results; nothing is written."""

    results: str
    identities: Identities
    records: dict[str, dict[str, Any] | None] = field(default_factory=dict)

    def difference(self, job: Description) -> str | None:
        """Why the existing results of a job are not those of the plan; None if they are, or if there are none."""
        present = {name: facts for name, path in job.outputs.items() if (facts := result_facts(Path(path)))}
        if not present:
            return None
        record = self.record(job)
        if record is None:
            return NO_IDENTITY
        if record.get("format") != FORMAT:
            return OTHER_FORMAT
        if any(facts != bytes_in(record, name) for name, facts in present.items()):
            return OTHER_BYTES
        if record["identity"] != self.identities.of(job):
            return OTHER_PLAN
        return OTHER_INPUTS if self.made_of_other_bytes(job) else None

    def record(self, job: Description) -> dict[str, Any] | None:
        """The record of a job, read once."""
        if job.record not in self.records:
            self.records[job.record] = read_record(Path(job.record))
        return self.records[job.record]

    def made_of_other_bytes(self, job: Description) -> bool:
        """Whether an input was made again after these results, with the same identity and other bytes."""
        record = self.record(job) or {}
        files = [file for files in record.get("made_of", {}).get("inputs", {}).values() for file in files]
        return any(self._has_changed(file) for file in files if file["bytes"])

    def _has_changed(self, file: Mapping[str, Any]) -> bool:
        path = f"{self.results}/{file['record']}"
        if path not in self.records:
            self.records[path] = read_record(Path(path))
        made = self.records[path]
        return made is not None and bytes_in(made, file["output"]) != file["bytes"]

    def changes(self, job: Description) -> dict[str, tuple[Any, Any]]:
        """What differs between the record of a job and its description: dotted key -> old and new value.

        Of input files that jobs make, only the names are compared: their own jobs say what changed.
        """
        made_of = (self.record(job) or {}).get("made_of", {})
        old = {key: made_of.get(key) for key in ("settings", "code", "sources")}
        new = {"settings": job.settings, "code": job.code, "sources": job.sources}
        before, after = flat(old), flat(new)
        keys = dict.fromkeys([*after, *before])
        found = {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
        return {key.removeprefix("settings.").removeprefix("entry."): both for key, both in found.items()}


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Nested plain data as one mapping from dotted keys to values; items of lists have their index as a key."""
    if isinstance(data, list):
        data = {str(index): value for index, value in enumerate(data)}
    if not isinstance(data, Mapping):
        return {prefix.removesuffix("."): data}
    return {key: value for name, inner in data.items() for key, value in flat(inner, f"{prefix}{name}.").items()}
