"""One line of progress for a run: reads Snakemake's output, keeps all of it in a file, and shows jobs and time left.

snakemake --cores all 2>&1 | python -m pipeline_lib.reporting.progress results/logs/demo.log
"""

import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

DONE = re.compile(r"(\d+) of (\d+) steps \(.*\) done")
RULE = re.compile(r"^(?:local)?rule (\w+):")
# Lines that are shown in full, with those after them up to an empty one.
TROUBLE = re.compile(r"(error|exception|warning|traceback|\033\[31m)", re.IGNORECASE)
WIDTH = 78


def line_of(done: int, total: int, seconds: float, rule: str) -> str:
    """Return for example `[#####.....] 12 of 24 jobs, about 3 min left, attack`.

    seconds: since the start; the time left supposes that the jobs left take as long as those done.
    """
    bar = "#" * round(20 * done / total)
    left = f"about {in_words(seconds / done * (total - done))} left" if 0 < done < total else in_words(seconds)
    return f"[{bar:.<20}] {done} of {total} jobs, {left}, {rule}"[:WIDTH]


def in_words(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def follow(lines: Iterable[str], log: TextIO, screen: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
    """Write all lines to `log`, and to `screen` the progress and lines of trouble.

    On a terminal the progress stays in one line; elsewhere it is a line for each tenth of the jobs.
    """
    began, rule, open_block, shown = clock(), "", False, -1
    for line in lines:
        log.write(line)
        log.flush()
        rule = match[1] if (match := RULE.match(line)) else rule
        open_block = bool(line.strip()) and (open_block or bool(TROUBLE.search(line)))
        if open_block:
            screen.write(("\r\033[K" if screen.isatty() else "") + line)
        if match := DONE.search(line):
            done, total = int(match[1]), int(match[2])
            text, tenth = line_of(done, total, clock() - began, rule), 10 * done // total
            if screen.isatty():
                screen.write(f"\r\033[K{text}")
            elif tenth > shown:
                screen.write(f"{text}\n")
            shown = max(shown, tenth)
        screen.flush()
    screen.write("\n" if screen.isatty() else "")


def main() -> None:
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"The whole log: {path}", flush=True)
    with path.open("w") as log:
        follow(sys.stdin, log, sys.stdout)


if __name__ == "__main__":
    main()
