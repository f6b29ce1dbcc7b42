"""Stand-ins for data, weights and files that are not there yet: a study is planned before anything is downloaded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.targets import INITIAL
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import declared, target_of
from pipeline_lib.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """What is missing, and the configuration that stands in for it.

    datasets: without readable lists, with the reason. weights: missing files, with the models that start from them.
    files: missing files, with the attacks that read them. config: above that of the user.
    """

    datasets: Mapping[str, str]
    weights: Mapping[str, list[str]]
    files: Mapping[str, list[str]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def stand_ins(config: Mapping[str, Any], empty: Path) -> StandIns:
    """The stand-ins of an effective configuration. empty: an existing file, for missing ones."""
    datasets = {name: reason for name, entry in config["datasets"].items() if (reason := _unreadable(entry))}
    rendered = {"root": None, "render": {"method": "synthetic_actions"}}
    weights: dict[str, list[str]] = {}
    models: dict[str, dict[str, Any]] = {}
    for model, key, file in _missing_weights(config):
        weights.setdefault(file, []).append(model)
        models.setdefault(model, {})[key] = {"file": str(empty)}
    files: dict[str, list[str]] = {}
    attacks = {name: _with_files(name, entry, str(empty), files) for name, entry in config["attacks"].items()}
    attacks = {name: entry for name, entry in attacks.items() if entry}
    given = {"datasets": dict.fromkeys(datasets, rendered), "models": models, "attacks": attacks}
    given = {key: value for key, value in given.items() if value}
    return StandIns(datasets=datasets, weights=weights, files=files, config=given)


def _with_files(attack: str, entry: Any, empty: str, missing: dict[str, list[str]]) -> dict[str, Any]:
    """What is laid over an attack's entry, so that its methods read `empty` in place of missing files; these, with the
    attack, are added to `missing`."""
    if not isinstance(entry, Mapping):
        return {}
    parts = {key: _with_files(attack, part, empty, missing) for key, part in entry.items()}
    found: dict[str, Any] = {key: part for key, part in parts.items() if part}
    key = declared(entry, "reads_file") if target_of(entry).count(":") == 1 else None
    if key is not None and isinstance(entry.get(key), str) and not Path(entry[key]).is_file():
        missing.setdefault(entry[key], []).append(attack)
        found[key] = empty
    return found


def _unreadable(entry: Any) -> str | None:
    """Why the lists of a data set cannot be read; None if they can, or if a job makes the data set."""
    if not isinstance(entry, Mapping) or "root" not in entry or {"render", "download"} & entry.keys():
        return None
    if not entry["root"]:
        return "its `root` is not given"
    try:
        lists = build({**entry["lists"], "method": target_of(entry["lists"])})
        for split in ("train", "test"):
            lists.read(Path(entry["root"]), split)
    except (PipelineError, OSError) as error:
        return str(error)
    except (TypeError, AttributeError, KeyError, ImportError):
        return None  # a wrong entry, which the workflow names
    return None


def _missing_weights(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Model, key and file of all weights that are not there."""
    for model, entry in config["models"].items():
        for key in INITIAL if isinstance(entry, Mapping) else ():
            initial = entry.get(key)
            file = initial.get("file") if isinstance(initial, Mapping) else None
            if isinstance(file, str) and not Path(file).is_file():
                yield model, key, file
