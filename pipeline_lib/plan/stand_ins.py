"""Stand-ins for data and weights that are not there yet: a study is planned before anything is downloaded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.targets import INITIAL
from pipeline_lib.entries.building import build
from pipeline_lib.entries.facts import target_of
from pipeline_lib.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """What is missing, and the configuration that stands in for it.

    datasets: without readable lists, with the reason. weights: missing files, with the models that start from them.
    config: above that of the user.
    """

    datasets: Mapping[str, str]
    weights: Mapping[str, list[str]]
    config: dict[str, Any] = field(default_factory=dict)


def stand_ins(config: Mapping[str, Any], empty: Path) -> StandIns:
    """The stand-ins of an effective configuration. empty: an existing file, for missing weights."""
    datasets = {name: reason for name, entry in config["datasets"].items() if (reason := _unreadable(entry))}
    rendered = {"root": None, "render": {"method": "synthetic_actions"}}
    weights: dict[str, list[str]] = {}
    models: dict[str, dict[str, Any]] = {}
    for model, key, file in _missing_weights(config):
        weights.setdefault(file, []).append(model)
        models.setdefault(model, {})[key] = {"file": str(empty)}
    given = {"datasets": dict.fromkeys(datasets, rendered), "models": models}
    return StandIns(datasets=datasets, weights=weights, config={key: value for key, value in given.items() if value})


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
