"""Clips to look at: one test clip under every attack of a figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline_lib.clips.adversarial_store import AdversarialClips, eight_bit
from pipeline_lib.clips.store import Clips
from pipeline_lib.reporting.figures import Example
from pipeline_lib.reporting.metrics import read_predictions


def attack_examples(
    clips: Path, attacks: Sequence[str], adversarial: Sequence[Path], predictions: Sequence[Path]
) -> list[Example]:
    """For every attack: its name with the true and the predicted class, the clean and the adversarial clip.

    The clip is the first one that most of the attacks get wrong, so that all rows of a figure show the same video.
    """
    clean = Clips(clips)
    tables = [read_predictions(path) for path in predictions]
    row = int(np.argmax(sum((table["label"] != table["prediction"]).to_numpy(int) for table in tables)))
    truth = clean.classes[int(clean.labels[row])]
    sets = [AdversarialClips(path, clean) for path in adversarial]
    return [
        (
            f"{attack}\n{truth} → {clean.classes[int(table['prediction'][row])]}",
            made.read_clean([row])[0],
            eight_bit(made.read([row])[0]),
        )
        for attack, made, table in zip(attacks, sets, tables, strict=True)
    ]
