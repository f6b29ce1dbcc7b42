"""Keys that a study or its layout has only where they are not usual, with the usual values."""

from collections.abc import Mapping
from typing import Any

# A layout of one data set does not name it in the names of its clips.
ONE_DATASET = ("",)


def clips_of_each_video(layout: Mapping[str, Any]) -> int:
    """How many test clips each video has."""
    return int(layout.get("clips_by_video", 1))


def worst_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The worst cases of a row by column, or of a study by row; empty where none are shown."""
    found: Mapping[str, Any] = part.get("worst") or {}
    return found


def units_of(layout: Mapping[str, Any]) -> str:
    """What tests and intervals of a layout count: clips, or videos where these have several clips."""
    return "clips" if clips_of_each_video(layout) == 1 else "videos"


def data_sets_of(layout: Mapping[str, Any]) -> list[str]:
    """The names of several data sets whose test clips are counted together; one empty name for a single data set."""
    return list(layout.get("datasets", ONE_DATASET))
