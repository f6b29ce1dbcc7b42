"""`python -m pipeline_lib.check MODEL CLIPS --threat linf:4/255`: is this model robust?

Exit status: 0 for no sign of masking, 1 for any other verdict, 2 for unsuitable input, in one sentence; 130 when it was
interrupted (run it again, and it continues).
"""

import sys
from collections.abc import Sequence

from pipeline_lib.check.command_line import parser
from pipeline_lib.commands import exit_with
from pipeline_lib.errors import PipelineError

FLAGGED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    given = parser().parse_args(arguments)
    from pipeline_lib.check.command import run  # with torch: after --help

    try:
        check = run(given)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"interrupted; the same command continues with what is finished in {given.out}", file=sys.stderr)
        return INTERRUPTED
    print(f"\n{check.verdict}")
    for finding in check.findings:
        print(f"  {finding.name}: {finding.sentence}")
    worst = f"{check.worst.percent:.1f} % of {len(check.worst.rows)} clips" if check.attacked else "not measured"
    print(f"worst case: {worst}. Page: {given.out / 'check.html'}")
    return FLAGGED if check.flagged else 0


if __name__ == "__main__":
    exit_with(main)
