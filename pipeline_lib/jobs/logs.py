"""Messages of a job: lines in the rule's log, and a progress bar on a terminal."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOGGER = logging.getLogger("pipeline_lib")
SNAKEMAKE = logging.getLogger("snakemake.logging")  # of a plan, which has no log; its handler does not format
LINE_EVERY_SECONDS = 10.0


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Inside, messages of the package are appended to the file with the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        handler.close()


class LogFile(logging.FileHandler):
    """A log that drops lines on a full disk: a traceback for each would hide the job's own error message."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class Progress:
    """Counts finished items of `total`: a bar on a terminal, and regular lines in the log.

    `start` items were finished before this run (a resumed job); the rate counts only items of this run.
    """

    def __init__(self, title: str, total: int, unit: str, start: int = 0) -> None:
        self.title, self.total, self.unit, self.done, self.start = title, total, unit, start, start
        self.began = self.reported = time.monotonic()
        self.bar = _bar(title, total, unit, start)

    def advance(self, items: int, **figures: float) -> None:
        """Counts `items` more as finished; `figures` (loss, accuracy ...) are shown beside the count."""
        self.done += items
        words = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)
            self.bar.update(items)
        if time.monotonic() - self.reported > LINE_EVERY_SECONDS or self.done >= self.total:
            self.reported = time.monotonic()
            LOGGER.info(self._line(words))

    def close(self) -> None:
        """Ends the bar; call it also after an error."""
        if self.bar is not None:
            self.bar.close()

    def _line(self, words: str) -> str:
        elapsed = max(time.monotonic() - self.began, 1e-9)
        rate = (self.done - self.start) / elapsed
        left = (self.total - self.done) / rate if rate else float("inf")
        figures = f", {words}" if words else ""
        return (
            f"{self.title}: {self.done}/{self.total} {self.unit}{figures}, {rate:.1f} {self.unit}/s, {left:.0f} s left"
        )


def counted(title: str, total: int, unit: str) -> Callable[[int], None]:
    """A progress callback that takes the number of finished items so far."""
    progress = Progress(title, total, unit)
    return lambda finished: progress.advance(finished - progress.done)


def _bar(title: str, total: int, unit: str, start: int):  # type: ignore[no-untyped-def]
    """A tqdm bar, or None if standard error is not a terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(desc=title, total=total, unit=f" {unit}", initial=start, dynamic_ncols=True, leave=False)
