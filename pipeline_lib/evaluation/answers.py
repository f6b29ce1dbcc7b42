"""Facts of a model's answers on clean clips: are they all the same, or independent of the input?"""

import numpy as np


def answer_facts(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the fields of `records.audits.Audit` on the answers to clean clips.

    predictions, labels: int (n,). `one_answer`: fraction of the clips with the most frequent answer. `answer_entropy`:
    of the answers, as a fraction of that of the labels (1 for labels of one class). `balanced_accuracy`: mean over the
    classes of the percentage classified correctly, so that a constant answer gets 100 / classes.
    """
    classes, label_counts = np.unique(labels, return_counts=True)
    counts = np.unique(predictions, return_counts=True)[1]
    recalls = [float((predictions[labels == one] == one).mean()) for one in classes]
    return {
        "one_answer": float(counts.max() / len(predictions)),
        "answer_entropy": entropy(counts) / entropy(label_counts) if len(classes) > 1 else 1.0,
        "balanced_accuracy": 100 * float(np.mean(recalls)),
    }


def entropy(counts: np.ndarray) -> float:
    """Return the entropy of the frequencies, in bits."""
    fractions = counts / counts.sum()
    return abs(float((fractions * np.log2(fractions)).sum()))
