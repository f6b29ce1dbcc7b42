"""Labels that suit a model better than the given ones, and models that no labels suit."""

import pytest
import torch

from pipeline_lib.check.labels import better_labels

LABELS = torch.arange(120) % 6
CONSTANT = torch.full_like(LABELS, 4)


def test_shifted_and_permuted_labels_are_found():
    assert better_labels((LABELS + 1) % 6, LABELS, 6)["better_labels"] == "labels shifted by +1"
    permuted = torch.tensor([3, 5, 0, 1, 2, 4])[LABELS]
    assert better_labels(permuted, LABELS, 6) == {
        "better_labels": "other names of the classes",
        "better_labels_percent": 100.0,
    }


def test_the_given_labels_are_the_best_for_a_model_that_is_right():
    assert better_labels(LABELS, LABELS, 6) == {}


@pytest.mark.parametrize("every", [2, 3, 5])
def test_no_labels_suit_a_model_that_answers_nearly_one_class(every):
    """Some classes get another answer half of the time: names found on one half of the clips fit the other by the
    constant answer."""
    predictions = CONSTANT.clone()
    predictions[(LABELS == 2) & (torch.arange(120) % every > 0)] = 0
    assert better_labels(predictions, LABELS, 6) == {}
    assert better_labels(CONSTANT, LABELS, 6) == {}
