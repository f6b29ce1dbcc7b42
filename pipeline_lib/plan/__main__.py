"""`python -m pipeline_lib.plan --configfile mine.yaml`: what a study costs before it starts.

Exit status: 0, or 2 for a configuration or a GPU that is not known, in one sentence.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError

BAD_INPUT = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline_lib.plan",
        description="Jobs, operations, hours, disk, memory and missing files of a study, without running anything.",
    )
    made.add_argument("--configfile", nargs="+", type=Path, default=[], help="as of Snakemake; default: the demo")
    made.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as of Snakemake")
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
    planned = plan_of(given.configfile, config_of(given.config), Path.cwd())
    rate = rate or measured_here(planned)
    title = " ".join(map(str, given.configfile)) or "the demo"
    found = title, planned, summary_of(planned, rate), rate
    if given.html:
        publish(given.html, pages.page(*found))
    return pages.text(*found)


def config_of(pairs: Sequence[str]) -> dict[str, Any]:
    """The mapping of `--config`. Raises PipelineError for a pair that Snakemake refuses."""
    from snakemake.cli import parse_config

    try:
        return dict(parse_config(pairs))
    except (ValueError, AssertionError) as error:
        raise PipelineError(f"--config {' '.join(pairs)}: {error or 'give KEY=VALUE'}") from None


if __name__ == "__main__":
    sys.exit(main())
