"""An interruption of Snakemake's process alone, by `kill -INT`, asks its jobs to stop as Ctrl-C in a terminal does.

A terminal sends SIGINT to all processes. Snakemake relies on that: it reports that it terminates its jobs, and waits
for them.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

SCRIPTS = b"/.snakemake/scripts/"  # where Snakemake writes the scripts that it runs


def stop_jobs_when_interrupted() -> None:
    """From now on SIGINT also sends SIGTERM to the scripts that this process runs: they save their state and end.

    A job that has received SIGINT as well, from a terminal, ends only once.
    """
    before = signal.getsignal(signal.SIGINT)
    # Ignored, as in the background of a shell; or there from an earlier workflow in this process.
    if not callable(before) or before.__module__ == __name__:
        return
    if threading.current_thread() is not threading.main_thread():  # not allowed
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for process in _scripts():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        before(number, frame)

    signal.signal(signal.SIGINT, stop)


def _scripts() -> Iterator[int]:
    """The child processes of this one that run a script for Snakemake; none where the system has no `/proc`."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and SCRIPTS in (folder / "cmdline").read_bytes():
                yield int(folder.name)
