"""Predictions on several data sets, counted together."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipeline_lib.reporting.clusters import of_dataset
from pipeline_lib.reporting.predictions import Predictions, read_by_video, with_videos

T = TypeVar("T")


def in_groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `size` items after `size` items."""
    yield from (items[start : start + size] for start in range(0, len(items), size))


def read_pooled(paths: Sequence[Path | str], datasets: Sequence[str]) -> Predictions:
    """Return the predictions in one file for each data set, as `read_by_video` those in one.

    The names of clips end in their data set where there are several: official splits may share test clips. Such clips
    are several answers to one video, which intervals and tests take into account (`clusters`).
    """
    if len(paths) == 1:
        return read_by_video(paths[0])
    found = [read_by_video(path) for path in paths]
    names = [of_dataset(video, dataset) for one, dataset in zip(found, datasets, strict=True) for video in one.videos]
    return with_videos(
        names,
        path=" + ".join(map(str, paths)),
        labels=np.concatenate([one.labels for one in found]),
        predictions=np.concatenate([one.predictions for one in found]),
        selected=[branch for one in found for branch in one.selected],
    )


def one_text(texts: Sequence[str], datasets: Sequence[str]) -> str:
    """Return the texts of several data sets as one: each once.

    If they differ in the data set's folder only, it is one text with all folders: `{split_1,split_2}/clips/train`.
    """
    folders = f"{{{','.join(datasets)}}}/"
    same = {re.sub(rf"\b{re.escape(name)}/", folders, text) for text, name in zip(texts, datasets, strict=True)}
    return same.pop() if len(same) == 1 else " | ".join(dict.fromkeys(texts))
