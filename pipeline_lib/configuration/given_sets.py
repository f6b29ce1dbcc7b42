"""Adversarial sets that the user gives, `source: {file: set.h5}`: instead of a model that the attack is made on.

Such a source is named by its file. Names of targets have a hyphen in front of their seed, those of files have none.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.messages import fail
from pipeline_lib.configuration.sweeps import slug
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.entries.building import load
from pipeline_lib.errors import PipelineError

Written = str | Mapping[str, str]
"""A source as written: a target, or `file` with a path from the working folder."""


def is_given(source: str | None) -> bool:
    """Whether the source of a resolved cell is a file."""
    return source is not None and "-" not in source


def models_of(cell: Mapping[str, Any]) -> list[str]:
    """The models of a resolved cell: of its target, and of its source if that is one."""
    targets = [cell[key] for key in ("target", "source") if cell[key] and not is_given(cell[key])]
    return [split_target(target)[0] for target in targets]


def name_of_set(path: str) -> str:
    """The name of a file as a source: `theirs/PGD.h5` -> `given_pgd`."""
    return f"given_{slug(Path(path).stem)}"


def given_sets(studies: Mapping[str, Any]) -> dict[str, str]:
    """Name -> path of all files that studies name. Raises PipelineError for two with the same name."""
    found: dict[str, str] = {}
    for where, path in _files("studies", studies):
        name = name_of_set(path)
        if found.setdefault(name, path) != path:
            raise fail(where, f"{path} and {found[name]} would both be named {name!r}: rename one of the files")
    return found


def _files(where: str, entry: Any) -> Iterator[tuple[str, str]]:
    for key, part in entry.items() if isinstance(entry, Mapping) else ():
        if key == "source" and isinstance(part, Mapping):
            yield f"{where}.source.file", str(part.get("file"))
        else:
            yield from _files(f"{where}.{key}", part)


def check_source(where: str, source: Mapping[str, str]) -> None:
    """Raises PipelineError for a source that is a mapping, but not that of a file."""
    if [*source] != ["file"] or not isinstance(source["file"], str):
        raise fail(where, f"expected a target, or {{file: set.h5}}, got {dict(source)}")


def check_set_file(path: str, attack: str, entry: Mapping[str, Any]) -> None:
    """Raises PipelineError for a file that is missing, no adversarial set, or made by another attack than `attack`.

    Its clips are compared by the job that reads it.
    """
    where = f"a source.file of attack {attack!r}"
    if not Path(path).is_file():
        raise fail(where, f"there is no file {Path(path).absolute()}; put it there or correct the path")
    try:
        load("pipeline_lib.clips.adversarial_store:require_attack")(Path(path), entry)
    except PipelineError as error:
        raise fail(where, str(error)) from None
