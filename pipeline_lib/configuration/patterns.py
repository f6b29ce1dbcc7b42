"""Regular expressions for the wildcards of the workflow."""

import re
from collections.abc import Iterable

# Any model, target, source or attack. Snakemake copies patterns into the paths of every rule, and reads these texts for
# each file of each job: with the names of all models it takes longer than everything else. `Jobs` knows the names.
NAME = "[^/.]+"
# Where the next folder of the path has another name, for the second wildcard of a path: the name is group 3. Alone, as
# Snakemake also compiles it, group 3 is the second empty one, so that the expression has a third group there as well.
NAME_BEFORE_ANOTHER = r"([^/.]+)()()(?!/\3/)"


def pattern_of(names: Iterable[str]) -> str:
    """A regular expression that matches exactly these names; common prefixes are written once.

    For the few names of data sets, studies and figures; there may be thousands of models.
    """
    endings: dict[str, list[str]] = {}
    for name in set(names):
        endings.setdefault(name[:1], []).append(name[1:])
    may_end = bool(endings.pop("", []))
    parts = [re.escape(letter) + pattern_of(rest) for letter, rest in sorted(endings.items())]
    if len(parts) == 1 and not may_end:
        return parts[0]
    return f"(?:{'|'.join(parts)}){'?' if may_end else ''}" if parts else ""
