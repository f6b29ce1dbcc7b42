"""What jobs ask for."""

import subprocess
import sys

import pytest

import tiny
from pipeline_lib.jobs.costs import memory_mb, minutes, passes
from planning import ROOT

PGD_5 = tiny.PGD | {"steps": 5}


def test_the_memory_of_an_extended_network_is_that_of_its_stem():
    plain = {"method": "a:ResNet", "width": 16}
    extended = {"method": "a:Outer", "width": 4, "network": {"method": "a:Inner", "network": plain}}
    assert memory_mb(extended, (8, 32, 32), 64, 1) == memory_mb(plain, (8, 32, 32), 64, 1)
    assert memory_mb(plain | {"width": 32}, (8, 32, 32), 64, 1) > memory_mb(plain, (8, 32, 32), 64, 1)


def test_a_repeated_job_asks_for_as_many_times_more():
    for attempt in (1, 2, 3):
        memory = memory_mb({"width": 16}, (8, 32, 32), 64, attempt)
        assert memory == pytest.approx(attempt * memory_mb({"width": 16}, (8, 32, 32), 64, 1), abs=attempt)
        assert minutes(8, (8, 32, 32), attempt) == pytest.approx(attempt * minutes(8, (8, 32, 32), 1), abs=attempt)


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_no_job_asks_for_more_than_a_day(attempt):
    assert minutes(10_000, (40, 112, 112), attempt) == 24 * 60
    assert minutes(1, (8, 32, 32), 1000) == 24 * 60


@pytest.mark.parametrize(("allowed", "status"), [(1, 1), (2, 0)])
def test_more_gpus_for_a_training_than_are_allowed(tmp_path, allowed, status):
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--directory", str(tmp_path)]
    command += ["--configfile", str(ROOT / "config/config.yaml"), "--config", "device=cuda", "gpus=2"]
    command += ["--resources", f"gpu={allowed}", "--", "results/synthetic/models/standard-s0.pt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    told = "config: gpus is 2, but only --resources gpu=1 is allowed: give more" in done.stdout + done.stderr
    assert told == (status == 1)


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
