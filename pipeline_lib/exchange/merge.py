"""Merging folders of results: checked before anything is copied, and refused if two runs contradict each other."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_lib.errors import PipelineError
from pipeline_lib.exchange.jobs import RULES, Record, files_of, records_in
from pipeline_lib.jobs import results_lock
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.provenance.comparison import flat
from pipeline_lib.provenance.file_facts import result_facts

LONGEST = 60
OWN = ("settings", "code", "sources")  # of a job; its inputs are those of other jobs


class Owned(NamedTuple):
    """A record, and the folder that it is in."""

    folder: Path
    record: Record


class Copy(NamedTuple):
    """A file or folder to be copied, by its path below both folders."""

    folder: Path
    path: str


class Merged(NamedTuple):
    """Numbers of files that were copied, and of those that were there already."""

    copied: int
    known: int


def merge(into: Path, folders: Sequence[Path]) -> Merged:
    """Copies the results of other folders, with their records, into a folder of results, which may be new.

    Raises:
        PipelineError: results that contradict each other, are damaged, or belong to other results than those that are
            there; a workflow that runs in the folder. Nothing is changed then.
    """
    copies, known = checked(into, folders)
    if not copies:
        return Merged(0, known)
    results_lock.hold(into, 0)
    try:
        copies, known = checked(into, folders)  # a workflow may have ended meanwhile
        for copy in copies:
            copy_into(into, copy)
    finally:
        results_lock.release(into)
    return Merged(len(copies), known)


def checked(into: Path, folders: Sequence[Path]) -> tuple[list[Copy], int]:
    """What a merge copies, records last, and the number of files that are there already. Nothing is written."""
    union = {path: Owned(into, record) for path, record in (records_in(into) if has_records(into) else {}).items()}
    files: list[Copy] = []
    records: list[Copy] = []
    known = 0
    for folder in folders:
        if not folder.is_dir():
            raise PipelineError(f"{folder}: there is no such folder")
        if folder.resolve() == into.resolve():
            raise PipelineError(f"{folder}: a folder is not merged into itself")
        new = {path: Owned(folder, record) for path, record in records_in(folder).items()}
        require_agreement(union, new)
        for path, own in new.items():
            wanted = [Copy(folder, file) for _, file in files_of(folder, own.record)]
            planned = {one.path for one in files}
            lacking = [copy for copy in wanted if is_lacking(into, copy) and copy.path not in planned]
            known, files = known + len(wanted) - len(lacking), files + lacking
            records += [] if path in union else [Copy(folder, path)]
        union = new | union
    return [*files, *records], known


def has_records(folder: Path) -> bool:
    return any(folder.glob("*/identities/**/*.json"))


def is_lacking(into: Path, copy: Copy) -> bool:
    """Whether a folder lacks a file. Raises PipelineError for another file in its place."""
    there = result_facts(into / copy.path)
    if there is not None and there != result_facts(copy.folder / copy.path):
        raise PipelineError(
            f"{into / copy.path} and {copy.folder / copy.path} contradict each other: their bytes differ, and the "
            "first is not the file of a record. Move it away, or run the workflow there"
        )
    return there is None


def require_agreement(union: Mapping[str, Owned], new: Mapping[str, Owned]) -> None:
    """Raises PipelineError for the first contradiction between results of two folders, from the data to predictions."""
    found = sorted([*of_same_job(union, new), *of_inputs(union, new), *of_inputs(new, union)])
    if found:
        more = f" ({len(found) - 1} other pairs contradict each other, too)" if len(found) > 1 else ""
        raise PipelineError(found[0][1] + more + ". Nothing was copied")


def of_same_job(union: Mapping[str, Owned], new: Mapping[str, Owned]) -> Iterator[tuple[int, str]]:
    """Pairs of records of the same job that differ: place in the order of reports, and a sentence."""
    for path in (path for path in new if path in union):
        one, other = union[path], new[path]
        before, after = parts_of(one.record), parts_of(other.record)
        names = one.record["outputs"].keys() & other.record["outputs"].keys()
        before |= {f"bytes of {name}": one.record["outputs"][name]["bytes"] for name in names}
        after |= {f"bytes of {name}": other.record["outputs"][name]["bytes"] for name in names}
        key = next((key for key in [*after, *before] if before.get(key) != after.get(key)), None)
        if key is not None:
            yield place_of(other, key), f"{contradiction(one, other)}: {values(key, before.get(key), after.get(key))}"


def parts_of(record: Record) -> dict[str, Any]:
    """What a job was made of by dotted key: its own parts, and the identities of its inputs."""
    made_of = record["made_of"]
    own = {key: value for part in OWN for key, value in flat({part: made_of[part]}).items()}
    inputs = {
        f"inputs.{name}.{number}": f"{file['path']} {file['identity']}"
        for name, files in made_of["inputs"].items()
        for number, file in enumerate(files)
    }
    return own | inputs


def of_inputs(made: Mapping[str, Owned], others: Mapping[str, Owned]) -> Iterator[tuple[int, str]]:
    """Pairs of a result and an input of it in the other folder, which is not the one that it was made of."""
    for path, own in made.items():
        for name, files in own.record["made_of"]["inputs"].items():
            for file in files:
                other = others.get(file["record"])
                if other is None or path in others or file["record"] in made:
                    continue
                there = other.record["outputs"].get(file["output"], {})
                pairs = {"identity": (file["identity"], other.record["identity"])}
                pairs |= {"bytes": (file["bytes"], there.get("bytes"))} if file["bytes"] else {}
                differing = next((key for key, pair in pairs.items() if pair[0] != pair[1]), None)
                if differing:
                    text = f"{first_file(own)} was made of another {other.folder / file['path']}"
                    yield place_of(own, "inputs"), f"{text}: {values(f'{name}: {differing}', *pairs[differing])}"


def place_of(owned: Owned, key: str) -> int:
    """The place of a contradiction in reports: what differs by its inputs only comes last."""
    return RULES.index(owned.record["rule"]) + (len(RULES) if key.startswith("inputs") else 0)


def contradiction(one: Owned, other: Owned) -> str:
    return f"{first_file(one)} and {first_file(other)} contradict each other"


def first_file(owned: Owned) -> Path:
    return owned.folder / next(iter(owned.record["outputs"].values()))["path"]


def values(key: str, first: Any, second: Any) -> str:
    shown = [text if len(text := str(value)) <= LONGEST else f"{text[:LONGEST]}..." for value in (first, second)]
    name = key.removeprefix("settings.").removeprefix("entry.")
    return f"{name} is {shown[0]} in the first, {shown[1]} in the second"


def copy_into(into: Path, copy: Copy) -> None:
    """Copies a file, or a folder, which appears whole or not at all."""
    source, target = copy.folder / copy.path, into / copy.path
    if not source.is_dir():
        with atomic_write(target, source.stat().st_size) as temporary:
            shutil.copyfile(source, temporary)
        return
    temporary = target.with_name(f".{target.name}.merging")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    temporary.rename(target)
