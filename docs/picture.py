"""The picture of README: one frame of a test clip under each attack, and the change that the attack made to it.

.venv/bin/python docs/picture.py results/synthetic docs/images/attacks.png    # after `make demo`
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline_lib.clips.store import Clips
from pipeline_lib.reporting.difference import MAGNIFICATION, magnified_difference
from pipeline_lib.reporting.figures.perturbations import attack_examples, show_frame
from pipeline_lib.reporting.metrics import read_predictions
from pipeline_lib.reporting.style import INK

ATTACKS = {"pgd": "PGD", "roa": "ROA", "af": "AF", "spa": "SPA", "multav_linf": "MultAV"}
SOURCE = "standard-s0"
WRONG = "#b3261e"


def picture(results: Path) -> Figure:
    """Frames above, changes below: clean, then each attack on the model without a defense, with the predicted class."""
    predictions = results / "predictions" / SOURCE
    examples = attack_examples(
        results / "clips" / "test.h5",
        list(ATTACKS.values()),
        [results / "adversarial" / SOURCE / f"{attack}.h5" for attack in ATTACKS],
        [predictions / SOURCE / f"{attack}.csv" for attack in ATTACKS],
    )
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    frames, changes = figure.subplots(2, 1 + len(examples))
    middle = len(examples[0][1]) // 2
    show_frame(frames[0], examples[0][1][middle])
    answer = clean_answer(results, examples[0][1])
    frames[0].set_title(f"clean\n{answer}")
    changes[0].text(0.98, 0.5, f"change,\n{MAGNIFICATION} times", ha="right", va="center", fontsize=13)
    changes[0].axis("off")
    for frame, change, (label, clean, adversarial) in zip(frames[1:], changes[1:], examples, strict=True):
        attack, _, classes = label.partition("\n")
        predicted = classes.partition(" → ")[2]
        frame.set_title(f"{attack}\n{predicted}", color=WRONG if predicted != answer else INK)
        show_frame(frame, adversarial[middle])
        show_frame(change, magnified_difference(clean[middle], adversarial[middle]))
    return figure


def clean_answer(results: Path, clip: np.ndarray) -> str:
    """The class that the model predicts for a test clip."""
    clips = Clips(results / "clips" / "test.h5")
    (row,) = (row for row in range(len(clips)) if np.array_equal(clips.read([row])[0], clip))
    return str(clips.classes[int(read_predictions(results / "predictions" / SOURCE / "clean.csv")["prediction"][row])])


if __name__ == "__main__":
    with rc_context({"axes.titlesize": 13}):
        picture(Path(sys.argv[1])).savefig(sys.argv[2], dpi=100, facecolor="white", pil_kwargs={"optimize": True})
