"""What jobs ask for."""

import tiny
from pipeline_lib.jobs.costs import memory_mb, passes

PGD_5 = tiny.PGD | {"steps": 5}


def test_the_memory_of_an_extended_network_is_that_of_its_stem():
    plain = {"method": "a:ResNet", "width": 16}
    extended = {"method": "a:Outer", "width": 4, "network": {"method": "a:Inner", "network": plain}}
    assert memory_mb(extended, (8, 32, 32), 64, 1) == memory_mb(plain, (8, 32, 32), 64, 1)
    assert memory_mb(plain | {"width": 32}, (8, 32, 32), 64, 1) > memory_mb(plain, (8, 32, 32), 64, 1)


def test_a_training_step_passes_what_it_trains_on_and_the_steps_of_its_attacks():
    assert passes(tiny.STANDARD) == 1
    assert passes(tiny.AVERAGE | {"attacks": [PGD_5, PGD_5]}) == 1 + 2 * (5 + 1)
    assert passes(tiny.MULTIBN | {"branches": {"clean": [], "lp": [PGD_5], "physical": [PGD_5]}}) == 1 + 2 * (5 + 1)


def test_an_attack_that_chooses_takes_its_own_steps_only():
    """Each with a forward pass of every choice; the steps of the choices are not taken."""
    steepest = tiny.STEEPEST | {"attacks": [PGD_5, PGD_5, PGD_5], "steps": 4}
    assert passes(steepest) == 1 + 4 * (1 + 3) + 1


def test_an_expectation_multiplies_the_passes_of_its_attack():
    assert passes({"method": "a:Expectation", "attack": PGD_5, "samples": 10}) == 1 + 10 * (5 + 1)
