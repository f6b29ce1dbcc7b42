"""Whether other labels, or another scale of the clips, suit a model far better: then model and clips do not match."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline_lib.check.target import Target
from pipeline_lib.reporting.metrics import wilson

# Clips per class from which any permutation of the classes is tried: half of them determine it, half of them judge it.
CLIPS_PER_CLASS = 4
# Means and standard deviations that published networks expect, of ImageNet and of Kinetics.
STATISTICS = {
    "clips normalized by ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clips normalized by Kinetics' mean and std": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
}
PLENTIFUL = 80.0  # percent: a model that is correct this often expects the clips as they are


def majority(labels: Tensor) -> float:
    """The accuracy of the best constant answer, in percent."""
    return 100 * float(labels.bincount().max()) / len(labels)


def better_labels(predictions: Tensor, labels: Tensor, classes: int) -> dict[str, Any]:
    """Labels shifted by a constant, or with permuted classes, that lie far above the given ones and above the constant
    answer to them; {} without such. A model that answers nearly one class for everything suits no labels."""
    given = percent(predictions == labels)
    candidates = [(f"labels shifted by {shift:+d}", (labels + shift) % classes) for shift in (1, -1)]
    found = [(name, predictions, other) for name, other in candidates]
    if len(labels) >= CLIPS_PER_CLASS * classes:
        first = torch.arange(len(labels)) % 2 == 0
        # Alternating clips of each class.
        order = labels.argsort(stable=True)
        learned, judged = order[first], order[~first]
        table = torch.zeros(classes, classes, dtype=torch.long)
        table.index_put_(
            (labels[learned], predictions[learned].clamp_min(0)), torch.ones(len(learned), dtype=torch.long), True
        )
        answers = table.argmax(1)[labels[judged]]
        # One class for all, or nearly all, is no permutation.
        if len(set(table.argmax(1).tolist())) > classes / 2:
            found.append(("other names of the classes", predictions[judged], answers))
    name, own, other = max(found, key=lambda one: percent(one[1] == one[2]))
    best = percent(own == other)
    if wilson(best, len(own))[0] > max(wilson(given, len(labels))[1], majority(other)):
        return {"better_labels": name, "better_labels_percent": best}
    return {}


def better_scale(target: Target, rows: Sequence[int], correct: Sequence[bool]) -> dict[str, Any]:
    """The scale of the clips under which the model is correct far more often; {} without such. Some passes."""
    given = percent(torch.tensor(correct))
    if given >= PLENTIFUL:
        return {}
    clips = target.clips[list(rows)]
    scales: dict[str, Callable[[Tensor], Tensor]] = {
        "clips in 0..255": lambda values: values * 255,
        "clips in -1..1": lambda values: values * 2 - 1,
    }
    if clips.shape[1] == 3:
        scales |= {name: _normalization(*statistics) for name, statistics in STATISTICS.items()}
    found = {
        name: percent(target.predictions(scale(clips), rows) == target.labels[list(rows)])
        for name, scale in scales.items()
    }
    name = max(found, key=lambda one: found[one])
    if wilson(found[name], len(rows))[0] > wilson(given, len(rows))[1]:
        return {"better_scale": name, "better_scale_percent": found[name]}
    return {}


def _normalization(mean: Sequence[float], std: Sequence[float]) -> Callable[[Tensor], Tensor]:
    def normalized(clips: Tensor) -> Tensor:
        shape = (-1, *[1] * (clips.dim() - 2))
        return (clips - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)

    return normalized


def percent(correct: Tensor) -> float:
    """The percentage of true values."""
    return 100 * float(correct.float().mean())
