"""Studies of several data sets, such as the official splits of one: every row is trained and attacked on each of them,
and their test clips are counted together."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_lib.configuration.clip_numbers import class_names, clips_by_video, frames_by_clip
from pipeline_lib.configuration.messages import fail, lookup

Plan = Mapping[str, Any]


def datasets_of(where: str, written: str | Sequence[str], plan: Plan) -> list[str]:
    """The data sets of a study, as written: one or a list.

    Raises:
        PipelineError: an unknown data set, one that is named twice, or two that do not have the same classes, or clips
            of the same shape and number of each video.
    """
    names = [written] if isinstance(written, str) else [*written]
    entries = [lookup(where, name, plan["datasets"], "dataset") for name in names]
    for name in names:
        if names.count(name) > 1:
            raise fail(where, f"{name!r} is named twice: its clips would count twice")
    for name, entry in zip(names[1:], entries[1:], strict=True):
        _check_alike(where, (names[0], name), (entries[0], entry))
    return names


def _check_alike(where: str, names: tuple[str, str], entries: tuple[Any, Any]) -> None:
    facts: dict[str, list[Any]] = {
        "classes": [class_names(entry) for entry in entries],
        "frames and size of clips": [(frames_by_clip(entry), entry["size"]) for entry in entries],
        "numbers of clips of a video": [clips_by_video(entry) for entry in entries],
    }
    for what, values in facts.items():
        if None not in values and values[0] != values[1]:
            pair, found = " and ".join(names), " and ".join(map(str, values))
            raise fail(where, f"{pair} have different {what} ({found}): their clips cannot be counted together")


def datasets_of_studies(plan: Plan) -> list[str]:
    """The data sets of all studies, sorted."""
    return sorted({dataset for study in plan["studies"].values() for dataset in study["datasets"]})


def in_one_line(datasets: Sequence[str]) -> str:
    """The data sets of a study, as texts name them."""
    return " + ".join(datasets)
