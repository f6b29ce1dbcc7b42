"""Which attacks are made by one run: those that differ in their number of iterations only, by that of the most.

The clips after a smaller number of iterations are iterates of the longest attack. Its job leaves them for the others,
which wait for it. Neither changes an identity: a set is the same if it is made alone.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_lib.entries.classes import class_of, definitions
from pipeline_lib.entries.facts import known_value, target_of
from pipeline_lib.jobs.costs import evaluated
from pipeline_lib.jobs.forcing import marks
from pipeline_lib.provenance.descriptions import Description
from pipeline_lib.provenance.fingerprints import canonical

FAILED = ".failed"
PlainRun = tuple[str, Mapping[str, Any], str]  # identity of a job, entry and code of its attack


class ShorterRun(NamedTuple):
    """An attack of fewer iterations: its entry, the fingerprint of its code, and the mark that its job is forced."""

    entry: dict[str, Any]
    code: str
    forced: Path


class Family(NamedTuple):
    """What attacks have in common that differ in their iterations only, and the number of these."""

    common: str
    iterations: int


def family_of(job: Description) -> Family | None:
    """The family of an attack job; None for other jobs, and for attacks that do not begin as longer ones do.

    A class states `iterations`, the field with their number, and `begins_longer_runs`, an expression of its fields. A
    class that inherits from it has to state both again: it may be another attack.
    """
    entry = job.settings.get("entry")
    if job.rule != "attack" or not isinstance(entry, Mapping):
        return None
    own = definitions(class_of(target_of(entry)))[0].source.constants
    field = own.get("iterations")
    if field is None or not evaluated("begins_longer_runs", entry, (1, 1, 1)):
        return None
    rest = {key: value for key, value in entry.items() if key != field}
    common = {"settings": {**job.settings, "entry": rest}, "code": job.code, "inputs": job.inputs, "from": job.sources}
    return Family(canonical(common), int(known_value(entry, field)))


@dataclass(frozen=True)
class Sharing:
    """The attack jobs that a longer one makes the clips of. longest: by the record of each, that one."""

    longest: Mapping[str, Description]

    def plain(self, jobs: Iterable[Description], identity: Callable[[Description], str]) -> dict[str, list[PlainRun]]:
        """What some of these jobs make for others of them, by increasing iterations: for `write_shared`."""
        known, found = {job.record: job for job in jobs}, defaultdict(list)
        for record in self.longest.keys() & known.keys():
            if self.longest[record].record in known:
                found[identity(self.longest[record])].append(known[record])
        return {
            name: [(identity(job), job.settings["entry"], job.code) for job in sorted(some, key=_iterations)]
            for name, some in found.items()
        }


def sharing_of(jobs: Iterable[Description]) -> Sharing:
    """For jobs that are made now. Jobs of equal entries under two names have a run folder in common anyway."""
    families: dict[str, list[tuple[int, Description]]] = defaultdict(list)
    for job in jobs:
        family = family_of(job)
        if family is not None:
            families[family.common].append((family.iterations, job))
    longest: dict[str, Description] = {}
    for some in families.values():
        most, last = max(some, key=itemgetter(0))
        longest |= {job.record: last for iterations, job in some if iterations < most}
    return Sharing(longest)


def _iterations(job: Description) -> int:
    family = family_of(job)
    return family.iterations if family else 0


def folder(results: Path) -> Path:
    return results / ".runs" / "shared"


def has_failed(results: Path, identity: str) -> bool:
    """Whether a job that makes the clips of others ended with an error: the others do not wait for it again."""
    return (folder(results) / f"{identity}{FAILED}").exists()


def write_shared(results: Path, shared: Mapping[str, Iterable[PlainRun]]) -> None:
    """Writes for the job of each identity what it makes for others."""
    for old in folder(results).glob("*.json"):
        old.unlink()
    for identity, others in shared.items():
        folder(results).mkdir(parents=True, exist_ok=True)
        (folder(results) / f"{identity}.json").write_text(json.dumps(list(others)))


@contextmanager
def shorter_runs(results: Path, identity: str) -> Iterator[list[ShorterRun]]:
    """What the job of an identity makes for others. After an error these do not wait for it again."""
    path = folder(results) / f"{identity}.json"
    others = json.loads(path.read_text()) if path.exists() else []
    try:
        yield [ShorterRun(entry, code, marks(results) / one) for one, entry, code in others]
    except Exception:
        if others:
            path.with_suffix(FAILED).touch()
        raise
    path.with_suffix(FAILED).unlink(missing_ok=True)
