"""`python -m pipeline_lib.exchange publish|verify|merge`: results for others, and of others.

Exit status: 0, or 2 for unsuitable input, in one sentence; nothing is changed then.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline_lib.commands import exit_with
from pipeline_lib.configuration.reading import add_options, given_jobs
from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.choosing import PARTS

BAD_INPUT = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m pipeline_lib.exchange", description="Publish, verify, merge results."
    )
    commands = made.add_subparsers(dest="command", required=True)
    one = commands.add_parser("publish", help="chosen results of a configuration as a folder or tar, without clips")
    one.add_argument("output", type=Path, help="a new folder, or a file that ends in .tar, .tar.gz or .tar.xz")
    one.add_argument("--license", required=True, help="of the published files, such as CC-BY-4.0")
    one.add_argument("--title", help="of the README; default: the name of the output")
    one.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    one.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help="such as 'synthetic/models/at_*'")
    add_options(one)
    one = commands.add_parser("verify", help="checks a published folder or tar")
    one.add_argument("path", type=Path)
    one.add_argument("--results", type=Path, help="a folder of results with one's own clips, to compare")
    one = commands.add_parser("merge", help="copies results of others, with their records, if nothing contradicts")
    one.add_argument("into", type=Path, help="a folder of results")
    one.add_argument("others", nargs="+", type=Path, help="folders of results, published folders or tars")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit status."""
    given = parser().parse_args(arguments)
    try:
        for line in {"publish": run_publish, "verify": run_verify, "merge": run_merge}[given.command](given):
            print(line)
    except PipelineError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    return 0


def run_publish(given: argparse.Namespace) -> list[str]:
    from pipeline_lib.exchange.publish import Texts, publish

    texts = Texts(license=given.license, title=given.title or given.output.name.partition(".tar")[0])
    found = publish(given_jobs(given), given.output, texts, given.parts, given.only)
    lines = [f"{path}: not published: {reason}" for path, reason in found.lacking]
    return [*lines, f"{given.output}: {len(found.files)} results, with their records; {len(lines)} are not there"]


def run_verify(given: argparse.Namespace) -> list[str]:
    from pipeline_lib.exchange.verify import verify

    return [f"{given.path}: {line}" for line in verify(given.path, given.results)]


def run_merge(given: argparse.Namespace) -> list[str]:
    from pipeline_lib.exchange.merge import merge
    from pipeline_lib.exchange.package import LIST, SUMS, opened
    from pipeline_lib.exchange.verify import verify_folder

    with ExitStack() as stack:
        folders = [stack.enter_context(opened(path)) for path in given.others]
        for folder, path in zip(folders, given.others, strict=True):
            if folder != path or any((folder / name).exists() for name in (LIST, SUMS)):
                verify_folder(folder, path, given.into)
        found = merge(given.into, folders)
    return [f"{given.into}: {found.copied} files copied, {found.known} were there already"]


if __name__ == "__main__":
    exit_with(main)
