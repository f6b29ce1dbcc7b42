"""Regular expressions for the wildcards of the workflow."""

import re
from collections.abc import Iterable


def pattern_of(names: Iterable[str]) -> str:
    """A regular expression that matches exactly these names; common prefixes are written once.

    Snakemake copies it into the paths of every rule and matches every file against them. With several seeds, a plain
    alternation of all names takes a tenth of the planning time.
    """
    endings: dict[str, list[str]] = {}
    for name in set(names):
        endings.setdefault(name[:1], []).append(name[1:])
    may_end = bool(endings.pop("", []))
    parts = [re.escape(letter) + pattern_of(rest) for letter, rest in sorted(endings.items())]
    if len(parts) == 1 and not may_end:
        return parts[0]
    return f"(?:{'|'.join(parts)}){'?' if may_end else ''}" if parts else ""


def pattern_before_another(names: Iterable[str]) -> str:
    """A regular expression for these names where the next folder of the path has another name.

    Without a reference to another wildcard: Snakemake also compiles the pattern of a wildcard by itself.
    """
    alternatives = (f"{re.escape(name)}(?!/{re.escape(name)}/)" for name in sorted(set(names)))
    return f"(?:{'|'.join(alternatives)})"
