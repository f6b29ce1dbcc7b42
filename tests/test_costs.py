"""Passes of a clip through the network, counted from plain entries."""

import tiny
from pipeline_lib.costs import passes

PGD_5 = tiny.PGD | {"steps": 5}


def test_a_training_step_passes_what_it_trains_on_and_the_steps_of_its_attacks():
    assert passes(tiny.STANDARD) == 1
    assert passes(tiny.AVERAGE | {"attacks": [PGD_5, PGD_5]}) == 1 + 2 * (5 + 1)
    assert passes(tiny.MULTIBN | {"branches": {"clean": [], "lp": [PGD_5], "physical": [PGD_5]}}) == 1 + 2 * (5 + 1)


def test_an_attack_that_chooses_takes_its_own_steps_only():
    """Each with a forward pass of every choice; the steps of the choices are not taken."""
    steepest = tiny.STEEPEST | {"attacks": [PGD_5, PGD_5, PGD_5], "steps": 4}
    assert passes(steepest) == 1 + 4 * (1 + 3) + 1
