"""A split of one's own: a share of each class for testing, drawn by a seed; clips of one source stay together."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence

from pipeline_lib.errors import PipelineError


def chosen_for_testing(
    items: Sequence[tuple[str, str]], share: float, seed: int, group: Callable[[str], str] | None = None
) -> set[str]:
    """The paths that are for testing, of items (path, class): about `share` of each class, at least one and never all.

    Items of one group are never separated. Groups are drawn in an order that is a hash of the seed and their name, so
    that a new file moves as few others as possible.
    """
    counts = Counter(label for _, label in items)
    wanted = {label: min(max(1, round(share * count)), count - 1) for label, count in counts.items()}
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, label in items:
        groups.setdefault(group(path) if group else path, []).append((path, label))
    chosen: set[str] = set()
    for name in sorted(groups, key=lambda name: _drawn(seed, name)):
        own = Counter(label for _, label in groups[name])
        # Taken if the classes together come nearer to their shares.
        if sum(abs(wanted[label]) - abs(wanted[label] - count) for label, count in own.items()) > 0:
            chosen |= {path for path, _ in groups[name]}
            wanted = {label: count - own[label] for label, count in wanted.items()}
    return chosen


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def group_of(pattern: str) -> Callable[[str], str]:
    """The group of a path: what the groups of a regular expression match in it, or the whole match.

    PipelineError when the pattern is none, or, on a call, when a path does not match.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise PipelineError(f"group: {pattern!r} is no regular expression: {error}") from None

    def group(path: str) -> str:
        match = found.search(path)
        if match is None:
            raise PipelineError(f"group: {pattern!r} matches nothing in {path!r}. Correct it, or the file's name.")
        return "/".join(part or "" for part in match.groups()) or match.group()

    return group
