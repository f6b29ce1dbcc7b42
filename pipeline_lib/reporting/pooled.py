"""Predictions on several data sets, counted together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from pipeline_lib.reporting.clusters import of_dataset
from pipeline_lib.reporting.metrics import read_predictions

T = TypeVar("T")


def in_groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `size` items after `size` items."""
    yield from (items[start : start + size] for start in range(0, len(items), size))


def read_pooled(paths: Sequence[Path | str], datasets: Sequence[str]) -> pd.DataFrame:
    """Return the predictions in one file for each data set, as `read_predictions` those in one.

    The names of clips end in their data set where there are several: official splits may share test clips. Such clips
    are several answers to one video, which intervals and tests take into account (`clusters`).
    """
    if len(paths) == 1:
        return read_predictions(paths[0])
    tables = [read_predictions(path) for path in paths]
    named = [
        table.assign(video=[of_dataset(video, dataset) for video in table["video"]])
        for table, dataset in zip(tables, datasets, strict=True)
    ]
    pooled = pd.concat(named, ignore_index=True)
    pooled.attrs = {"path": " + ".join(map(str, paths))}
    return pooled
