"""A model's predictions for clips as arrays: thousands of files are read for one table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.records.columns import read_columns
from pipeline_lib.records.predictions import REQUIRED


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Predictions, each video once. path: where they are from. Arrays have the order of the videos.

    labels, predictions: class indices. selected: of each clip, the branch with the largest weight; empty without one.
    """

    path: str
    videos: pd.Index
    labels: np.ndarray
    predictions: np.ndarray
    selected: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.videos)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether each clip is classified correctly."""
        found: np.ndarray = self.predictions == self.labels
        return found


def read_by_video(path: Path | str) -> Predictions:
    """Return the predictions in a CSV. Raises PipelineError if they are empty or a video is repeated."""
    columns = columns_of(path)
    numbers = {"labels": columns["label"], "predictions": columns["prediction"]}
    return with_videos(columns["video"], path=str(path), selected=columns.get("selected", ()), **numbers)


def columns_of(path: Path | str) -> dict[str, Any]:
    """Return the columns of a file of predictions: text, class indices as arrays. Raises PipelineError, with the file,
    if one is missing or an index is no whole number."""
    columns: dict[str, Any] = dict(read_columns(path))
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise PipelineError(f"{path}: columns {missing} are missing; predictions need {list(REQUIRED)}")
    try:
        numbers = {name: np.array([int(text) for text in columns[name]], np.int64) for name in ("label", "prediction")}
    except ValueError as error:
        raise PipelineError(f"{path}: {error}; delete it and run again") from error
    return columns | numbers


def by_video(predictions: pd.DataFrame | Predictions) -> Predictions:
    """Return predictions (a table with `video`, `label`, `prediction`) as arrays.

    Raises PipelineError if they are empty or a video is repeated.
    """
    if isinstance(predictions, Predictions):
        return predictions
    numbers = {"labels": predictions["label"].to_numpy(), "predictions": predictions["prediction"].to_numpy()}
    path = str(predictions.attrs.get("path", "predictions"))
    return with_videos(predictions["video"], path=path, selected=predictions.get("selected", ()), **numbers)


def with_videos(videos: Iterable[Any], **others: Any) -> Predictions:
    """Return predictions for videos with these names. Raises PipelineError if there are none or one is repeated."""
    index = _index_of(tuple(videos))
    if index.empty or not index.is_unique:
        trouble = "no clips" if index.empty else f"video {index[index.duplicated()][0]} occurs twice"
        raise PipelineError(f"{others['path']}: {trouble}; a summary needs every video once")
    return Predictions(videos=index, **others)


@lru_cache(maxsize=32)
def _index_of(videos: tuple[Any, ...]) -> pd.Index:
    """One index for all predictions of a table."""
    return pd.Index(videos, dtype=object, name="video")


def check_same_videos(first: Predictions, other: Predictions) -> None:
    """Raise PipelineError, with the first difference, unless both have the same videos with the same labels."""
    if first.videos.equals(other.videos) and (first.labels == other.labels).all():
        return
    for missing, place in (
        (first.videos.difference(other.videos), other),
        (other.videos.difference(first.videos), first),
    ):
        if len(missing):
            message = f"{place.path} lacks {len(missing)} videos, first {missing[0]}"
            raise PipelineError(f"{message}; {first.path} and {other.path} must be made from the same clips")
    differing = first.videos[first.labels != other.labels[other.videos.get_indexer(first.videos)]]
    if len(differing):
        raise PipelineError(f"{first.path} and {other.path} give video {differing[0]} different labels")
