"""Accuracies with intervals, from predictions: one row per clip, columns `video,label,prediction,loss`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev

import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.clusters import effective_clips
from pipeline_lib.reporting.predictions import Predictions, by_video, check_same_videos, columns_of

NORMAL_QUANTILE = 1.959963984540054  # 97.5 %: two-sided 95 %


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table: percent, its 95 % interval, clips per seed, number and sd of seeds."""

    measured: float
    low: float
    high: float
    n: int
    seeds: int
    sd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A percentage of one seed, its 95 % interval, and its number of clips.

    scores: for each clip, indexed by video, a number in [0, 1], by which rows are compared; `percent` is their mean.
    """

    percent: float
    low: float
    high: float
    n: int
    scores: pd.Series | None = field(default=None, compare=False, repr=False)


def read_predictions(path: Path | str) -> pd.DataFrame:
    """Return the predictions in the CSV at `path`, one row per clip; `attrs["path"]` is the path.

    Video names are read as text, also those that look like numbers or missing values.
    """
    predictions = pd.DataFrame(columns_of(path))
    predictions["loss"] = [float(text or "nan") for text in predictions["loss"]]
    predictions.attrs["path"] = str(path)
    return predictions


def accuracy(predictions: pd.DataFrame | Predictions) -> Estimate:
    """Return the percentage of clips that are classified correctly."""
    found = by_video(predictions)
    return fraction_of_clips(pd.Series(found.correct, found.videos))


def percentage(correct: pd.Series) -> float:
    """Return the percentage of true values."""
    return 100.0 * float(correct.to_numpy().mean())


def correct_clips(columns: Mapping[str, pd.DataFrame | Predictions]) -> pd.DataFrame:
    """Return whether each clip is classified correctly: one column per set of predictions, indexed by video.

    Rows are matched by video, in any order. Raises PipelineError if the videos or their labels differ.
    """
    if not columns:
        raise PipelineError("no predictions to summarize: name at least one column")
    tables = {name: by_video(predictions) for name, predictions in columns.items()}
    first = next(iter(tables.values()))
    for other in tables.values():
        check_same_videos(first, other)
    same = all(table.videos.equals(first.videos) for table in tables.values())
    found = {name: table.correct if same else pd.Series(table.correct, table.videos) for name, table in tables.items()}
    return pd.DataFrame(found, first.videos)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean of the columns' accuracies, in percent."""
    if not values:
        raise PipelineError("mean of no values: name at least one column")
    return math.fsum(values) / len(values)


def wilson(percent: float, n: float) -> tuple[float, float]:
    """Return the 95 % Wilson score interval (low, high), in percent, of `percent` measured on `n` independent clips.

    Unlike percent +- 1.96 standard errors, it is inside 0..100 and has a positive width at 0 and 100 % (Wilson, 1927).
    """
    if n < 1 or not 0 <= percent <= 100:
        raise ValueError(f"wilson needs 0 <= percent <= 100 and n >= 1, got {percent} and {n}")
    p, z2 = percent / 100, NORMAL_QUANTILE**2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, 100 * (center - half)), min(100.0, 100 * (center + half))


def estimate(percent: float, n: int) -> Estimate:
    """Return a percentage of `n` independent clips with its 95 % Wilson interval, without scores."""
    low, high = wilson(percent, n)
    return Estimate(percent=percent, low=low, high=high, n=n)


def fraction_of_clips(suits: pd.Series) -> Estimate:
    """Return the percentage of clips that are true, with its 95 % interval and the clips' scores.

    The interval is Wilson's; of several clips for each video with their effective number (`clusters`).
    """
    percent, n = percentage(suits), len(suits)
    low, high = wilson(percent, effective_clips(suits))
    scores = pd.Series(suits.to_numpy().astype(float), suits.index)
    return Estimate(percent=percent, low=low, high=high, n=n, scores=scores)


def envelope(seeds: Sequence[Estimate]) -> Cell:
    """Return the mean over seeds with the envelope of their intervals.

    The seeds share their clips, so pooling them to one sample of `n * seeds` clips would give too narrow an interval.
    The envelope contains every seed's interval: it is conservative, and never narrower for more seeds.
    """
    low, high = min(seed.low for seed in seeds), max(seed.high for seed in seeds)
    n, percents = min(seed.n for seed in seeds), [seed.percent for seed in seeds]
    sd = stdev(percents) if len(percents) > 1 else None
    return Cell(measured=mean(percents), low=low, high=high, n=n, seeds=len(seeds), sd=sd)
