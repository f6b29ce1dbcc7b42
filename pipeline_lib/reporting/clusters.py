"""Several clips of one video are not independent of each other: intervals and tests count videos."""

import re
from functools import lru_cache

import pandas as pd

# How `clips.splits.Video.name` numbers the clips of a video, after an interval in seconds or without one.
CLIP_NUMBER = re.compile(r"(?:#|(#t=[^#&]+)&)clip=\d+$")


# How `of_dataset` ends the name of a clip.
DATASET = re.compile(r"#of=[^#]+$")


def of_dataset(clip: str, dataset: str) -> str:
    """Return the name of a clip among those of several data sets."""
    return f"{clip}#of={dataset}"


def videos_of(clips: pd.Index) -> pd.Index:
    """Return the name of each clip's video: that of the clip without its data set and its number."""
    return _videos_of(tuple(clips)).rename(clips.name)


@lru_cache(maxsize=32)
def _videos_of(clips: tuple[str, ...]) -> pd.Index:
    """The cells of a table have the same clips."""
    return pd.Index([CLIP_NUMBER.sub(r"\1", DATASET.sub("", str(name))) for name in clips])


@lru_cache(maxsize=32)
def number_of_videos(clips: tuple[str, ...]) -> int:
    """Return the number of videos that clips with these names are of."""
    return _videos_of(clips).nunique()


def per_video(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores of each video's clips, indexed by video; unchanged if every video has one clip."""
    if number_of_videos(tuple(scores.index)) == len(scores):
        return scores
    return scores.groupby(videos_of(scores.index), sort=False).mean()


def effective_clips(correct: pd.Series) -> float:
    """Return the number of independent clips whose accuracy would have the variance of this one.

    correct: booleans, indexed by clip. The variance is that between videos of the ratio of correct clips to clips; the
    result is the effective sample size of surveys in clusters (Rao and Scott, 1992), from the number of videos to that
    of clips. It is the number of videos where clips of a video always agree, or where all clips do.
    """
    clips, count = len(correct), number_of_videos(tuple(correct.index))
    rate = float(correct.to_numpy().mean()) if clips else 0.0
    spread = rate * (1 - rate)
    if count in (clips, 1) or spread == 0:
        return count
    residuals = (correct.astype(float) - rate).groupby(videos_of(correct.index)).sum()
    variance = count / (count - 1) * float((residuals**2).sum()) / clips**2
    return max(float(count), spread / max(variance, spread / clips))
