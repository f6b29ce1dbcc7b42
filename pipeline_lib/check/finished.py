"""Finished measurements of a check, kept in its folder: a check that was stopped continues with them."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.records.checks import Part, part_of


class Finished:
    """The measurements below `folder`, for one key (network, clips, threat, settings); kept in memory without one."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.folder = None if folder is None else folder / "parts" / key

    def load(self, name: str) -> Part | None:
        """The measurement of this name; None if there is none, or an unreadable one."""
        if self.folder is not None:
            with suppress(OSError, ValueError, TypeError, KeyError):
                return part_of(json.loads((self.folder / f"{name}.json").read_text()))
        return None

    def save(self, part: Part) -> None:
        """Writes it, atomically."""
        if self.folder is not None:
            with atomic_write(self.folder / f"{part.name}.json") as temporary:
                temporary.write_text(json.dumps(asdict(part)))
