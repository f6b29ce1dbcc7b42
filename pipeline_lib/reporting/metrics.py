"""Accuracies with intervals, from predictions: one row per clip, columns `video,label,prediction,loss`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev

import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.records.predictions import REQUIRED
from pipeline_lib.reporting.clusters import effective_clips

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
    try:
        predictions = pd.read_csv(path, dtype={"video": str}, keep_default_na=False, na_values={"loss": ["nan", ""]})
    except (FileNotFoundError, pd.errors.EmptyDataError) as error:
        raise PipelineError(f"{path}: no predictions ({error}); run the prediction job again") from error
    missing = [column for column in REQUIRED if column not in predictions]
    if missing:
        raise PipelineError(f"{path}: columns {missing} are missing; predictions need {list(REQUIRED)}")
    predictions.attrs["path"] = str(path)
    return predictions


def accuracy(predictions: pd.DataFrame) -> Estimate:
    """Return the percentage of clips that are classified correctly."""
    return fraction_of_clips(correct_clips({"accuracy": predictions})["accuracy"])


def percentage(correct: pd.Series) -> float:
    """Return the percentage of true values."""
    return 100.0 * float(correct.mean())


def correct_clips(columns: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return whether each clip is classified correctly: one column per set of predictions, indexed by video.

    Rows are matched by video, in any order. Raises PipelineError if the videos or their labels differ.
    """
    if not columns:
        raise PipelineError("no predictions to summarize: name at least one column")
    tables = {name: by_video(predictions) for name, predictions in columns.items()}
    first = next(iter(tables.values()))
    for other in tables.values():
        check_same_videos(first, other)
    return pd.DataFrame({name: table["prediction"] == table["label"] for name, table in tables.items()}, first.index)


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
    return Estimate(percent=percent, low=low, high=high, n=n, scores=suits.astype(float))


def envelope(seeds: Sequence[Estimate]) -> Cell:
    """Return the mean over seeds with the envelope of their intervals.

    The seeds share their clips, so pooling them to one sample of `n * seeds` clips would give too narrow an interval.
    The envelope contains every seed's interval: it is conservative, and never narrower for more seeds.
    """
    low, high = min(seed.low for seed in seeds), max(seed.high for seed in seeds)
    n, percents = min(seed.n for seed in seeds), [seed.percent for seed in seeds]
    sd = stdev(percents) if len(percents) > 1 else None
    return Cell(measured=mean(percents), low=low, high=high, n=n, seeds=len(seeds), sd=sd)


def named(predictions: pd.DataFrame) -> str:
    return str(predictions.attrs.get("path", "predictions"))


def by_video(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions indexed by video. Raises PipelineError if they are empty or a video is repeated.

    Those that are indexed by video have been checked.
    """
    if predictions.index.name == "video":
        return predictions
    repeated = predictions["video"][predictions["video"].duplicated()]
    if predictions.empty or len(repeated):
        trouble = f"video {repeated.iloc[0]} occurs twice" if len(repeated) else "no clips"
        raise PipelineError(f"{named(predictions)}: {trouble}; a summary needs every video once")
    return predictions.set_index("video")


def check_same_videos(first: pd.DataFrame, other: pd.DataFrame) -> None:
    """Raise PipelineError, with the first difference, unless both have the same videos with the same labels."""
    if first.index.equals(other.index) and (first["label"].to_numpy() == other["label"].to_numpy()).all():
        return
    for missing, place in ((first.index.difference(other.index), other), (other.index.difference(first.index), first)):
        if len(missing):
            message = f"{named(place)} lacks {len(missing)} videos, first {missing[0]}"
            raise PipelineError(f"{message}; {named(first)} and {named(other)} must be made from the same clips")
    differing = first.index[first["label"] != other["label"].reindex(first.index)]
    if len(differing):
        raise PipelineError(f"{named(first)} and {named(other)} give video {differing[0]} different labels")
