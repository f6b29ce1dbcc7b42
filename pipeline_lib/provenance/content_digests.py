"""Digests of the content of files that the user gives, which may be large.

A file is read once, and again when its size or time of modification has changed. What was read is kept beside the
results, so that neither the next plan nor a job on a cluster reads it.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import SNAKEMAKE, Progress
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.provenance.fingerprints import file_digest

SHOWN_BYTES = 1_000_000_000  # a plan that reads more says so, and shows its progress
MB = 1_000_000
Known = tuple[int, int, str]  # size in bytes, time of modification in ns, digest


@dataclass
class ContentDigests:
    """SHA-256 digests in hexadecimal, by absolute path.

    store: the file that keeps them; None: they are of this process only.
    """

    store: Path | None = None
    known: dict[str, Known] = field(default_factory=dict)
    has_new: bool = False

    def keep_in(self, store: Path) -> None:
        """Uses what earlier processes have kept in a file, and keeps there what this one reads."""
        self.store = store
        self.known = _read_store(store) | self.known

    def save(self) -> None:
        """Writes the file that keeps the digests, if there are new ones; nothing if it cannot be written."""
        if self.store is None or not self.has_new:
            return
        with contextlib.suppress(OSError, PipelineError):
            with atomic_write(self.store) as temporary:
                temporary.write_text(json.dumps(_read_store(self.store) | self.known))
            self.has_new = False

    def of(self, files: Mapping[str, os.stat_result]) -> dict[str, str | None]:
        """The digests of files; None for one that cannot be read. files: absolute path -> present state.

        New ones are saved if there is a folder of results; the run that makes this folder saves them at its start.
        """
        new = {path: state for path, state in files.items() if not self._knows(path, state)}
        if new:
            self._read(new)
            if self.store is not None and self.store.parent.parent.is_dir():
                self.save()
        return {path: self.known[path][2] if path in self.known else None for path in files}

    def _knows(self, path: str, state: os.stat_result) -> bool:
        return self.known.get(path, ())[:2] == (state.st_size, state.st_mtime_ns)

    def _read(self, files: Mapping[str, os.stat_result]) -> None:
        total = sum(state.st_size for state in files.values())
        progress = _shown(len(files), total) if total > SHOWN_BYTES else None
        with ThreadPoolExecutor() as threads:
            for (path, state), digest in zip(files.items(), threads.map(_digest, files), strict=True):
                self.known.pop(path, None)
                if digest is not None:
                    self.known[path] = (state.st_size, state.st_mtime_ns, digest)
                if progress is not None:
                    progress.advance(state.st_size // MB)
        if progress is not None:
            progress.close()
        self.has_new = True


def _digest(path: str) -> str | None:
    try:
        return file_digest(Path(path))
    except OSError:
        return None


def _shown(count: int, total: int) -> Progress:
    SNAKEMAKE.info(f"{count} given files ({total / 1000 / MB:.1f} GB) are read once: they count by their content")
    return Progress("reading files", total // MB, "MB")


def _read_store(store: Path) -> dict[str, Known]:
    """What a file keeps; nothing if there is none, or another file."""
    try:
        found = json.loads(store.read_text())
        return {path: (int(size), int(time), str(digest)) for path, (size, time, digest) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


DIGESTS = ContentDigests()  # of this process: each file is read once, whatever asks for it


def store_in(results: str | Path) -> Path:
    """The file that keeps the digests beside some results."""
    return Path(results) / ".runs" / "contents.json"
