"""Paired comparison of two rows of a table: the same clips, the same seeds.

Scores: a table with one row per clip (index: the video) and one column per seed, each value in [0, 1]: 1 for a clip
that is classified correctly (in a column, or in all columns for a union), or the fraction of columns in which it is,
for a mean. The seeds of a row share their clips. Clips are therefore the independent units, not pairs of clip and seed:
what is tested and resampled is one value per clip, its difference averaged over the seeds. A resample contains every
seed of a clip, all seeds with the same weight. Intervals and p-values are about other clips for these trained models;
the variation of the training is the standard deviation over seeds.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.metrics import NORMAL_QUANTILE

RESAMPLES = 10_000
# Above this number of possible sums the distribution of a sum of signs is its normal limit.
MOST_SUMS = 2**22
FINEST_FRACTION = 1000
LEVEL = 0.05  # of significance, of all tests


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """First minus second, in points of percent, with its 95 % interval, and the p-value of no difference.

    n: clips. seeds: those of both rows. per_clip: differences of the scores in [-1, 1], mean over the seeds.
    whole_clips: whether each seed's scores are 0 or 1, so that the difference counts clips.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    seeds: tuple[int, ...]
    per_clip: np.ndarray
    whole_clips: bool


def compare(first: pd.DataFrame, second: pd.DataFrame, *names: str) -> Comparison | None:
    """Return the comparison of two rows' scores, None if they have no seed in common.

    names: those of table, column and rows: they seed the bootstrap.
    Scores of 0 and 1 have the interval of Bonett and Price, others one of a bootstrap over clips. Raises PipelineError
    for different clips.
    """
    seeds, ours, theirs = matched(first, second)
    if not ours.size:
        return None
    values = (ours - theirs).mean(axis=1)
    single = all(bool(((scores == 0) | (scores == 1)).all()) for scores in (ours, theirs))
    low, high = adjusted_wald(values) if single else bootstrap(values, *names)
    percent = {"difference": 100 * float(values.mean()), "low": 100 * low, "high": 100 * high}
    return Comparison(**percent, p=sign_test(values), n=len(values), seeds=seeds, per_clip=values, whole_clips=single)


def by_clip_and_seed(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """Return the differences of scores, clips x common seeds. Clips are matched by video, in any order."""
    _, ours, theirs = matched(first, second)
    return ours - theirs


def matched(first: pd.DataFrame, second: pd.DataFrame) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    """Return the common seeds and the scores of each, clips x common seeds, in the order of the first."""
    if not first.index.equals(second.index):
        missing = first.index.symmetric_difference(second.index)
        if len(missing):
            raise PipelineError(f"clip {missing[0]} is in one of two rows only; both must be made from the same clips")
        second = second.loc[first.index]
    ours, theirs = first.columns.tolist(), second.columns.tolist()
    common = [seed for seed in ours if seed in theirs]
    scores = first.to_numpy(float)[:, [ours.index(seed) for seed in common]]
    others = second.to_numpy(float)[:, [theirs.index(seed) for seed in common]]
    return tuple(map(int, common)), scores, others


def sign_test(differences: np.ndarray) -> float:
    """Return the two-sided exact p-value of clips' differences: how often random signs give as large a sum.

    For one seed and scores of 0 and 1 this is the exact McNemar test: a binomial test of the discordant clips. For
    several seeds a clip's differences change their sign together, as one value.
    """
    sizes = lattice(differences[differences != 0])
    total = abs(int(sizes.sum()))
    if total == 0:
        return 1.0
    values, counts = np.unique(np.abs(sizes), return_counts=True)
    if len(values) == 1:
        return binomial_tails(len(sizes), (len(sizes) - total // int(values[0])) // 2)
    reach = int((values * counts).sum())
    if reach > MOST_SUMS:
        return math.erfc(total / math.sqrt(2 * float((values.astype(float) ** 2 * counts).sum())))
    return tails_of_signed_sum(values, counts, total)


def lattice(differences: np.ndarray) -> np.ndarray:
    """Return the differences as integers in a common unit; scores that have none are rounded to thousandths."""
    if (differences == np.rint(differences)).all():
        return differences.astype(np.int64)
    values, places = np.unique(differences.round(9), return_inverse=True)
    fractions = [Fraction(value).limit_denominator(FINEST_FRACTION) for value in values.tolist()]
    unit = math.lcm(*(fraction.denominator for fraction in fractions))
    unit = unit if unit <= FINEST_FRACTION else FINEST_FRACTION
    return np.array([round(fraction * unit) for fraction in fractions], dtype=np.int64)[places]


def binomial_tails(trials: int, fewer: int) -> float:
    """Return the probability of at most `fewer` or at least `trials - fewer` heads of a fair coin."""
    from scipy.special import bdtr  # scipy.stats takes a second to import

    return min(1.0, 2 * float(bdtr(fewer, trials, 0.5)))


def tails_of_signed_sum(values: np.ndarray, counts: np.ndarray, total: int) -> float:
    """Return P(|sum| >= total) for a sum of `counts` values with random signs, accurate however small it is.

    The discrete Fourier transform of the characteristic function is the distribution, with errors of 1e-17 everywhere.
    So the signs are weighted (an Esscher transform) such that the sum's mean is `total`, where probabilities are large.
    """
    reach = int((values * counts).sum())
    if total == reach:
        return 2.0 ** (1 - int(counts.sum()))
    weight = _weight_of_mean(values, counts, total)
    size = 1 << (2 * reach + 1).bit_length()
    angles = 2 * np.pi * np.arange(size // 2 + 1) / size
    transform = np.ones_like(angles, dtype=complex)
    for value, count in zip(values, counts, strict=True):
        transform *= (np.cos(angles * value) - 1j * math.tanh(weight * value) * np.sin(angles * value)) ** int(count)
    probabilities = np.fft.irfft(transform, size)[total : reach + 1]
    in_tail = float((probabilities * np.exp(-weight * np.arange(reach + 1 - total))).sum())
    exponents = weight * values
    log_mean = float((counts * (exponents + np.log1p(np.exp(-2 * exponents)) - math.log(2))).sum())  # of cosh
    return min(1.0, 2 * in_tail * math.exp(log_mean - weight * total))


def _weight_of_mean(values: np.ndarray, counts: np.ndarray, total: int) -> float:
    """Return w: with +v exp(2 w v) times as probable as -v, the mean of the sum is `total`, below its largest value."""
    low, high = 0.0, 1 / float(values.max())
    while float((counts * values * np.tanh(high * values)).sum()) < total:
        low, high = high, 2 * high
    for _ in range(60):  # halvings
        middle = (low + high) / 2
        below = float((counts * values * np.tanh(middle * values)).sum()) < total
        low, high = (middle, high) if below else (low, middle)
    return high


def with_two_discordant_clips(differences: np.ndarray) -> np.ndarray:
    """Return the differences and two more, of their typical size (1, if all are 0) and of opposite signs.

    They keep the interval of few discordant clips from being too narrow, or of no width (Bonett and Price, 2012).
    """
    discordant = differences[differences != 0]
    size = math.sqrt(float((discordant**2).mean())) if len(discordant) else 1.0
    return np.append(differences, (size, -size))


def adjusted_wald(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean difference of two paired proportions (Bonett and Price, 2012)."""
    values = with_two_discordant_clips(differences)
    center, half = float(values.mean()), NORMAL_QUANTILE * float(values.std()) / math.sqrt(len(values))
    return max(-1.0, center - half), min(1.0, center + half)


def bootstrap(differences: np.ndarray, *names: str) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over resampled clips, two discordant ones added.

    The mean depends only on how often each value is drawn: the counts are multinomial. names: seed the draws.
    """
    values, counts = np.unique(with_two_discordant_clips(differences).round(12), return_counts=True)
    clips = int(counts.sum())
    means = generator(*names).multinomial(clips, counts / clips, size=RESAMPLES) @ values / clips
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def generator(*names: str) -> np.random.Generator:
    """Return a generator that depends on the names only."""
    return np.random.default_rng(list(hashlib.sha256("\0".join(names).encode()).digest()))


def holm(values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm, 1979); NaN is not counted and stays NaN."""
    given = np.asarray(values, dtype=float)
    order = np.argsort(given)[: np.count_nonzero(~np.isnan(given))]  # NaN is sorted last
    factors = np.arange(len(order), 0, -1)
    corrected = given.copy()
    corrected[order] = np.minimum(1, np.maximum.accumulate(given[order] * factors))
    return corrected.tolist()
