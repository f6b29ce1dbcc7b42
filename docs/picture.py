"""The picture of README: one frame of a test clip under each attack, and the change that the attack made to it.

.venv/bin/python docs/picture.py results/synthetic docs/images/attacks.png    # after `make demo`
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline_lib.clips.store import Clips
from pipeline_lib.reporting.figures.perturbations import attack_examples, draw_row
from pipeline_lib.reporting.metrics import read_predictions
from pipeline_lib.reporting.style import STYLE

ATTACKS = {"pgd": "PGD", "roa": "ROA", "af": "AF", "spa": "SPA", "multav_linf": "MultAV"}
SOURCE = "standard-s0"


def picture(results: Path) -> Figure:
    """Frames above, changes below: clean, then each attack on the model without a defense, with the predicted class."""
    predictions = results / "predictions" / SOURCE
    examples = attack_examples(
        results / "clips" / "test.h5",
        list(ATTACKS.values()),
        [results / "adversarial" / SOURCE / f"{attack}.h5" for attack in ATTACKS],
        [predictions / SOURCE / f"{attack}.csv" for attack in ATTACKS],
    )
    return draw_row(examples, f"clean\n{clean_answer(results, examples[0][1])}")


def clean_answer(results: Path, clip: np.ndarray) -> str:
    """The class that the model predicts for a test clip."""
    clips = Clips(results / "clips" / "test.h5")
    (row,) = (row for row in range(len(clips)) if np.array_equal(clips.read([row])[0], clip))
    return str(clips.classes[int(read_predictions(results / "predictions" / SOURCE / "clean.csv")["prediction"][row])])


if __name__ == "__main__":
    with rc_context(STYLE | {"figure.figsize": (9.6, 3.6), "axes.titlesize": 13, "font.size": 13}):
        picture(Path(sys.argv[1])).savefig(sys.argv[2], dpi=100, facecolor="white", pil_kwargs={"optimize": True})
