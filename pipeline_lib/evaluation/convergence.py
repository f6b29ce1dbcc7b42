"""Whether an attack was finished when it stopped, from the iterates that were recorded anyway."""

import numpy as np

from pipeline_lib.attacks.strongest import Strongest
from pipeline_lib.records.audits import Audit

# The end of a climb: this fraction of its iterations, at least one.
END = 0.1


def settled(attack: object, audit: Audit) -> Audit:
    """The audit without facts about the end of a climb where the result is not one: of the strongest of several
    attacks, of which the first one's iterates are recorded."""
    return audit._replace(last_fall=0.0, last_rise=0.0) if isinstance(attack, Strongest) else audit


def convergence(losses: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """Facts of climbs from their start to the result, losses and correct answers (n, T + 1).

    recovered_clips: the fraction of clips that are correct in the end and were not at an earlier iterate.
    last_fall: by which fraction of the clips those correct at every iterate fell in the last tenth of the iterations.
    last_rise: of the clips that are still correct, which fraction of the rise of their largest loss came in it. Both
        are 0 for fewer than two iterations.
    """
    iterations = correct.shape[1] - 1
    stands = np.logical_and.accumulate(correct, 1)
    facts = {"recovered_clips": float((correct[:, -1] & ~stands[:, -1]).mean())}
    if iterations < 2:
        return facts | {"last_fall": 0.0, "last_rise": 0.0}
    before = iterations - max(1, int(END * iterations))
    largest = np.maximum.accumulate(losses.astype(np.float64), 1)[correct[:, -1]]
    rise, late = ((largest[:, -1] - largest[:, start]).sum() for start in (0, before))
    fall = float(stands[:, before].mean() - stands[:, -1].mean())
    return facts | {"last_fall": fall, "last_rise": float(late / rise) if rise > 0 else 0.0}
