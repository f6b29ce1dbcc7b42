"""Whether one number of a table is above another, and the sample that would decide it."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from pipeline_lib.reporting.paired import LEVEL, Comparison, by_clip_and_seed, compare

HIGHER, LOWER, UNDECIDED = "higher", "lower", "undecided"
POWER_QUANTILE = 0.8416212335729143  # 80 %
MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The outcome `HIGHER`, `LOWER` or `UNDECIDED` of a comparison, and the sample that would decide it.

    clips: number of clips that finds the measured difference at 5 % with a power of 80 %, with the same seeds; None
        without a difference. seeds: number of seeds that does with the same clips; None if it cannot be estimated (from
        one seed), or if no number of seeds is enough. comparison: None without common seeds, which is undecided.
    """

    outcome: str
    comparison: Comparison | None
    clips: int | None
    seeds: int | None


def decide(first: pd.DataFrame, second: pd.DataFrame, *names: str, level: float = LEVEL) -> Decision:
    """Return whether the first scores (clips x seeds, as in `paired`) are higher or lower than the second.

    names: as of `paired.compare`. level: of the two-sided test; divide it for several questions.
    """
    found = compare(first, second, *names)
    if found is None:
        return Decision(outcome=UNDECIDED, comparison=None, clips=None, seeds=None)
    decided = HIGHER if found.difference > 0 else LOWER
    changes = by_clip_and_seed(first, second)
    return Decision(
        outcome=decided if found.p < level else UNDECIDED,
        comparison=found,
        clips=clips_needed(found.per_clip),
        seeds=seeds_needed(changes),
    )


def clips_needed(differences: np.ndarray, level: float = LEVEL) -> int | None:
    """Return the number of clips for which a two-sided test finds the mean difference with a power of 80 %.

    differences: one per clip, in [-1, 1]. For one seed and scores of 0 and 1 this is Connor's sample size of McNemar's
    test (1987), from the fraction of discordant clips.
    """
    return _clips(float(differences.mean()), float((differences**2).mean()), level)


def _clips(mean: float, mean_square: float, level: float) -> int | None:
    if abs(mean) < 1e-9:
        return None
    spread = math.sqrt(max(0.0, mean_square - mean**2))
    quantile = NormalDist().inv_cdf(1 - level / 2)
    needed = (quantile * math.sqrt(mean_square) + POWER_QUANTILE * spread) ** 2 / mean**2
    return math.ceil(needed - 1e-9)


def seeds_needed(changes: np.ndarray, level: float = LEVEL) -> int | None:
    """Return the smallest number of seeds for which the same clips find the mean difference, None if there is none.

    changes: clips x seeds. More seeds reduce only the variance within a clip, and not that between clips.
    """
    clips, seeds = changes.shape
    if seeds < 2:
        return None
    mean, per_clip = float(changes.mean()), changes.mean(axis=1)
    within = float(changes.var(axis=1, ddof=1).mean())
    between = max(0.0, float(per_clip.var()) - within / seeds)

    def suffices(number: int) -> bool:
        needed = _clips(mean, mean**2 + between + within / number, level)
        return needed is not None and needed <= clips

    if not suffices(MOST_SEEDS):
        return None
    return next(number for number in range(1, MOST_SEEDS + 1) if suffices(number))
