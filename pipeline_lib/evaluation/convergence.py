"""Convergence of an attack, from the recorded iterates, without additional passes."""

import numpy as np

from pipeline_lib.attacks.strongest import Strongest
from pipeline_lib.attacks.worst_case import WorstCase
from pipeline_lib.records.audits import Audit

# The end of a run: this fraction of its iterations, at least one.
END = 0.1


def settled(attack: object, audit: Audit) -> Audit:
    """The audit without facts about the end of a run for `Strongest` and `WorstCase`: the result is the strongest of
    several attacks, but only the first attack's iterates are recorded."""
    several = isinstance(attack, Strongest | WorstCase)
    return audit._replace(last_fall=0.0, last_rise=0.0) if several else audit


def convergence(losses: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """Convergence facts of attacks; losses and correct: (n, T + 1), from the start to the result.

    recovered_clips: the fraction of clips that are correct at the end, but were not at an earlier iterate.
    last_fall: decrease in the last tenth of the iterations of the fraction of clips correct at all iterates so far.
    last_rise: for clips still correct at the end, the fraction of the increase of their largest loss in the last
    tenth. Both are 0 for fewer than two iterations.
    """
    iterations = correct.shape[1] - 1
    never_fooled = np.logical_and.accumulate(correct, 1)
    facts = {"recovered_clips": float((correct[:, -1] & ~never_fooled[:, -1]).mean())}
    if iterations < 2:
        return facts | {"last_fall": 0.0, "last_rise": 0.0}
    before = iterations - max(1, int(END * iterations))
    largest = np.maximum.accumulate(losses.astype(np.float64), 1)[correct[:, -1]]
    rise, late = ((largest[:, -1] - largest[:, start]).sum() for start in (0, before))
    fall = float(never_fooled[:, before].mean() - never_fooled[:, -1].mean())
    return facts | {"last_fall": fall, "last_rise": float(late / rise) if rise > 0 else 0.0}
