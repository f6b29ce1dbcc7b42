"""`python -m pipeline_lib.plan --configfile mine.yaml`: what a study costs before it starts.

Exit status: 0, or 2 for a configuration or a GPU that is not known, in one sentence.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline_lib.commands import exit_with
from pipeline_lib.configuration.reading import add_options, pairs
from pipeline_lib.errors import PipelineError

BAD_INPUT = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline_lib.plan",
        description="Jobs, operations, hours, disk, memory and missing files of a study, without running anything.",
    )
    add_options(made)
    made.add_argument("--gpu", metavar="NAME", help="hours on this GPU (a100, h100, rtx4090, ...), not on this machine")
    made.add_argument("--html", type=Path, metavar="FILE", help="also write the plan as a page")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    given = parser().parse_args(arguments)
    try:
        print(run(given))
    except PipelineError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    return 0


def run(given: argparse.Namespace) -> str:
    """The plan as text. Raises PipelineError for unsuitable input."""
    from pipeline_lib.plan import pages, rates
    from pipeline_lib.plan.measuring import measured_here
    from pipeline_lib.plan.planned import plan_of
    from pipeline_lib.plan.summary import summary_of
    from pipeline_lib.reporting.publish import publish

    rate = rates.named(given.gpu) if given.gpu else None
    planned = plan_of(given.configfile, pairs(given.config), Path.cwd())
    rate = rate or measured_here(planned)
    title = " ".join(map(str, given.configfile)) or "the demo"
    found = title, planned, summary_of(planned, rate), rate
    if given.html:
        publish(given.html, pages.page(*found))
    return pages.text(*found)


if __name__ == "__main__":
    exit_with(main)
