"""Follows the records of results back to what they were made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.provenance.descriptions import below
from pipeline_lib.provenance.records import read_record

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Origins:
    """The records of files below a folder of results.

    results: the folder. records: path of a file -> path of its record, both relative to the folder.
    """

    results: str
    records: Mapping[str, str]
    known: dict[str, Record | None] = field(default_factory=dict)

    def of(self, path: str) -> Record | None:
        """The record of a file, by its path in a layout; None if it has none."""
        record = self.records.get(below(self.results, path))
        return None if record is None else self._read(record)

    def maker(self, record: Record, name: str) -> Record | None:
        """The record of the job that made an input, the first of this name; None without such an input or record."""
        file = input_of(record, name)
        return None if file is None else self._read(file["record"])

    def _read(self, path: str) -> Record | None:
        if path not in self.known:
            self.known[path] = read_record(Path(self.results, path))
        return self.known[path]


def input_of(record: Record, name: str) -> Mapping[str, Any] | None:
    """The first input file of this name in a record: its `path`, `record`, `output`, `identity`; None without one."""
    files = record["made_of"]["inputs"].get(name, [])
    return files[0] if files else None


def settings_of(record: Record) -> Mapping[str, Any]:
    """The settings in a record."""
    settings: Mapping[str, Any] = record["made_of"]["settings"]
    return settings


def given_digest(record: Record, name: str) -> str | None:
    """The SHA-256 of a file that the user gave, by its name among the sources of a record; None without one."""
    found: str | None = (record["made_of"]["sources"].get(name) or {}).get("sha256")
    return found


def origins_of(identity: Mapping[str, Any] | None, results: str) -> Origins:
    """The origins of a job's inputs, by its parameter `identity`; without one, no file has a record."""
    files: Sequence[Mapping[str, str]] = [file for one in (identity or {}).get("inputs", {}).values() for file in one]
    return Origins(results, {file["path"]: file["record"] for file in files})
