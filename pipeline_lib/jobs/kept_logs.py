"""Logs that stay: what earlier runs of the same work wrote comes first in a job's log.

Snakemake deletes the log of a job before each attempt. So its lines are also appended to a file in the folder of runs,
named by the job's identity: earlier attempts stay in the log, and the figures of a training are in it again after the
configuration was another one for a while.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline_lib.jobs.logs import logging_to

# A line of `logging_to`, without those that continue it.
MESSAGE = re.compile(r"^\d{4}-\d\d-\d\d \S+ ([A-Z]+) (.*)$", re.MULTILINE)


def kept_log(results: Path, identity: Mapping[str, Any]) -> Path:
    """The file that keeps the lines of a job."""
    return results / ".runs" / "logs" / f"{identity['identity']}.log"


@contextmanager
def logging_after_earlier_runs(log: Path, kept: Path | None) -> Iterator[None]:
    """Inside, messages are appended to a log, which begins with those of earlier runs, and to what is kept of them.

    kept: from `kept_log`; without it, or if it cannot be written, messages are in the log only.
    """
    with contextlib.ExitStack() as stack:
        if kept is not None:
            with contextlib.suppress(OSError):
                bring_back(log, kept)
                stack.enter_context(logging_to(kept))
        stack.enter_context(logging_to(log))
        yield


def last_error(log: Path) -> str | None:
    """The message of the error that a log ends with; None if it ends otherwise, or there is none."""
    lines = MESSAGE.findall(log.read_text(errors="replace")) if log.is_file() else []
    level, message = lines[-1] if lines else ("", "")
    return message if level == "ERROR" else None


def bring_back(log: Path, kept: Path) -> None:
    """Puts the lines of earlier runs at the beginning of a log that does not begin with them."""
    if not kept.exists():
        return
    earlier, own = kept.read_bytes(), log.read_bytes() if log.exists() else b""
    if not own.startswith(earlier):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(earlier + own)
