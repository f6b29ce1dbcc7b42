"""Facts of a model's answers: closed forms, and scikit-learn."""

import numpy as np
import pytest

from oracles import oracle
from pipeline_lib.evaluation.answers import answer_facts, entropy

LABELS = np.repeat([0, 1, 2, 3], 25)


def test_a_constant_answer_has_no_entropy_and_the_balanced_accuracy_of_guessing():
    facts = answer_facts(np.full(100, 2), LABELS)
    assert facts == {"one_answer": 1, "answer_entropy": 0, "balanced_accuracy": 25}


def test_correct_answers_have_the_entropy_of_the_labels():
    unequal = np.repeat([5, 7], [90, 10])
    for labels in (LABELS, unequal):
        facts = answer_facts(labels.copy(), labels)
        assert (facts["answer_entropy"], facts["balanced_accuracy"]) == (pytest.approx(1), 100)
    assert answer_facts(unequal, unequal)["one_answer"] == 0.9


def test_a_constant_answer_of_unequal_classes_is_not_above_guessing():
    """Its accuracy is 90 %."""
    assert answer_facts(np.full(100, 5), np.repeat([5, 7], [90, 10]))["balanced_accuracy"] == 50


def test_one_class_tells_nothing():
    assert answer_facts(np.array([1, 1, 2]), np.array([1, 1, 1]))["answer_entropy"] == 1


def test_the_facts_are_those_of_scikit_learn_and_scipy():
    answers = np.random.default_rng(0).integers(0, 4, 100)
    facts = answer_facts(answers, LABELS)
    expected = oracle("sklearn.metrics").balanced_accuracy_score(LABELS, answers)
    assert facts["balanced_accuracy"] == pytest.approx(100 * expected)
    counts = np.unique(answers, return_counts=True)[1]
    assert entropy(counts) == pytest.approx(oracle("scipy.stats").entropy(counts, base=2))
