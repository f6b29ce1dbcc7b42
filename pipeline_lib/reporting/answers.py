"""Verdicts on a model whose answers are independent of its input."""

import math
from collections.abc import Mapping
from typing import Any

ONE_ANSWER = "one answer"
NO_REACTION = "answers at random"
# Least entropy of the answers, as a fraction of that of the labels: 0.1 are 98 % equal answers of two classes.
LEAST_ENTROPY = 0.1


def trouble_of_answers(audit: Mapping[Any, Any], clips_by_video: int = 1) -> str:
    """Return the fault of a model whose answers to clean clips depend little or not on them, empty for others.

    The entropy of the answers is nearly zero beside that of the labels; or the balanced accuracy is less than two
    standard errors above that of guessing. The clips of a video may all have one answer: only videos are independent.
    """
    if audit["classes"] < 2:
        return ""
    if audit["answer_entropy"] < LEAST_ENTROPY:
        return ONE_ANSWER
    guess = 1 / audit["classes"]
    error = math.sqrt(guess * (1 - guess) * clips_by_video / audit["clips"])
    return NO_REACTION if audit["balanced_accuracy"] / 100 < guess + 2 * error else ""
