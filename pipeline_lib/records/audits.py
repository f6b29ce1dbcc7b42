"""Audits and traces of adversarial sets: facts that distinguish robustness from an attack that went wrong."""

from typing import NamedTuple


class Audit(NamedTuple):
    """The one row of a set's audit. Fractions are from 0 to 1, accuracies in percent, losses means over the clips."""

    clips: int
    iterations: int
    zero_gradients: float  # fraction of clips whose first gradient is zero
    zero_elements: float  # mean fraction of zeros in the first gradient, in the attacked region
    start_loss: float
    end_loss: float
    predicted_increase: float  # of the attack's objective in the first step, by the first gradient
    first_rise: float  # of the attack's objective in the first step
    changed_predictions: float  # fraction of the stored clips
    reached_goals: float  # fraction of the stored clips
    unchanged_clips: float  # fraction of the stored clips; 0 if the clean clip is one of the attack's candidates
    live_bound_ratio: float  # the largest, of the live clips (before storage)
    bound_ratio: float  # the largest, of the stored clips
    box_excess: float  # the largest distance of a live pixel from [0, 1]
    model_gap: float  # between the losses of the attacked and of the evaluated model on the same clips
    gap_allowed: float
    clean_accuracy: float
    live_accuracy: float
    stored_accuracy: float
    recovered_clips: float  # fraction of the live clips, correct at the end but not at an earlier iterate
    last_fall: float  # decrease of the fraction correct at all iterates, in the last tenth of the iterations
    last_rise: float  # fraction of the loss increase of clips still correct, in the last tenth of the iterations
    below_floor: float  # fraction of clips whose first gradient is shorter than the attack's `smallest_norm`
    classes: int  # that occur among the labels
    one_answer: float  # fraction of the clean clips with the most frequent answer
    answer_entropy: float  # of the answers to clean clips, as a fraction of that of the labels
    balanced_accuracy: float  # on the clean clips, in percent: the mean over the classes


class TraceRow(NamedTuple):
    """Accuracy (percent) and mean loss of the live clips after a number of iterations."""

    step: int
    accuracy: float
    loss: float
