"""Lists the videos and images below a folder: what would be decoded, and what is wrong with each."""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline_lib.clips.containers import ADDITIONAL
from pipeline_lib.clips.decode import Decoding
from pipeline_lib.clips.folders import clips_below, files_below, is_image
from pipeline_lib.clips.inspection import Inspection, inspected
from pipeline_lib.clips.sampling import UniformStride
from pipeline_lib.clips.status import Status, printable
from pipeline_lib.clips.videos import VideoFiles
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import Progress

# The clips of these are whole.
FINE = (Status.OK, Status.SHORT, Status.COMPLAINED)


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m pipeline_lib.clips", description="Clips of videos and images.")
    check = parser.add_subparsers(required=True).add_parser("check", help=__doc__, description=__doc__)
    check.add_argument("folder", type=Path, help="a folder, searched through, or a file")
    check.add_argument("--frames", type=int, default=16, help="frames of a clip (16); fewer in a video are SHORT")
    check.add_argument("--size", type=int, default=112, help="side of the clips in pixels (112)")
    check.add_argument("--containers", nargs="*", default=[], metavar="NAME", help=f"also: {', '.join(ADDITIONAL)}")
    check.add_argument("--workers", type=int, default=2, help="files at a time (2)")
    check.add_argument("--only-wrong", action="store_true", help="list only files that are not OK")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Print the list and its summary; 0 if every clip is whole, else 1."""
    given = arguments_of(words)
    try:
        return check(given)
    except PipelineError as error:
        print(f"Error: {error}")
        return 2


def check(given: argparse.Namespace) -> int:
    """Inspect the files of the arguments, print a line for each, and the summary."""
    if not given.folder.exists():
        raise PipelineError(f"{given.folder} does not exist.")
    paths = clips_below(given.folder) if given.folder.is_dir() else [given.folder]
    if not paths:
        raise PipelineError(f"{given.folder} has no file with the ending of a video or image.")
    spec = VideoFiles(size=given.size, sampling=UniformStride(frames=given.frames))
    progress = Progress("checking", len(paths), "files")
    results = []
    for result in inspected(paths, spec, Decoding(containers=given.containers), given.workers):
        results.append(result)
        progress.advance(1)
    progress.close()
    for result in results:
        if not given.only_wrong or result.status is not Status.OK:
            print(line(result, given.folder))
    others = sum(1 for _ in files_below(given.folder)) - len(paths) if given.folder.is_dir() else 0
    print("\n" + summary(results, others, given.folder))
    return int(any(result.status not in FINE for result in results))


def line(result: Inspection, folder: Path) -> str:
    """Status, number of frames, kind and name of a file, and its notes below."""
    frames = "image" if is_image(result.path) else f"{result.frames} frames"
    first = f"{result.status.name:<10} {frames:>12}  {result.kind:<32} {named(result, folder)}"
    return "\n".join([first, *(f"{'':<25}{note}" for note in result.notes)])


def named(result: Inspection, folder: Path) -> str:
    path = result.path.relative_to(folder) if result.path != folder else result.path
    return printable(str(path))


def summary(results: Sequence[Inspection], others: int, folder: Path) -> str:
    """How many files have each status, with the first of each, and how many are of each kind."""
    lines = [f"{len(results)} files; {others} others have no ending of a video or image"]
    for status in Status:
        some = [result for result in results if result.status is status]
        if some:
            first = "" if status is Status.OK else f"  first: {named(some[0], folder)}"
            lines.append(f"  {status.name:<10} {len(some):>6}{first}")
    lines += ["kinds:", *(f"  {kind or 'none':<40} {count:>6}" for kind, count in kinds(results))]
    return "\n".join(lines)


def kinds(results: Iterable[Inspection]) -> list[tuple[str, int]]:
    """The kinds of files and how many there are, the most frequent first."""
    return Counter(result.kind for result in results).most_common()
