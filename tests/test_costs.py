"""What jobs ask for."""

import subprocess
import sys

import pytest
import torch

import tiny
from pipeline_lib.entries.building import build
from pipeline_lib.jobs.costs import (
    START_MINUTES,
    estimated_counts,
    kept_passes,
    minutes,
    passes,
)
from pipeline_lib.jobs.runs import SAVE_EVERY_SECONDS
from planning import ROOT

SHAPE = (4, 40, 30)
PGD_5 = tiny.PGD | {"steps": 5}


def test_the_memory_of_an_extended_network_is_that_of_its_stem():
    plain = tiny.NETWORK | {"width": 16}
    extended = {"method": "oudefend", "width": 4, "network": {"method": "feature_denoising", "network": plain}}
    few, same, more = (estimated_counts(one, (8, 32, 32)).memory for one in (plain, extended, plain | {"width": 32}))
    assert few == same
    assert all(more[name] > few[name] for name in few)


def test_a_repeated_job_asks_for_as_many_times_more():
    for attempt in (1, 2, 3):
        assert minutes(600, attempt) == attempt * minutes(600, 1) == attempt * (START_MINUTES + 1.5 * 10)


def test_the_least_request_lasts_for_a_start_and_what_a_job_may_lose_at_its_limit():
    """A job that is asked to stop two minutes before its limit has saved at least once."""
    assert minutes(0, 1) * 60 > SAVE_EVERY_SECONDS + 120
    assert minutes(0.1, 1) == START_MINUTES + 1  # whole minutes, not fewer


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_no_job_asks_for_more_than_a_day(attempt):
    assert minutes(1e6, attempt) == minutes(1, 1000) == 24 * 60


@pytest.mark.parametrize(("allowed", "status"), [(1, 1), (2, 0)])
def test_more_gpus_for_a_training_than_are_allowed(tmp_path, allowed, status):
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--directory", str(tmp_path)]
    command += ["--configfile", str(ROOT / "config/demo.yaml"), "--config", "device=cuda", "gpus=2"]
    command += ["--resources", f"gpu={allowed}", "--", "results/synthetic/models/standard-s0.pt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    told = "config: gpus is 2, but only --resources gpu=1 is allowed: give more" in done.stdout + done.stderr
    assert told == (status == 1)


def test_a_training_step_passes_what_it_trains_on_and_the_steps_of_its_attacks():
    assert passes(tiny.STANDARD, SHAPE) == 1
    assert passes(tiny.AVERAGE | {"attacks": [PGD_5, PGD_5]}, SHAPE) == 1 + 2 * (5 + 1)
    branches = {"clean": [], "lp": [PGD_5], "physical": [PGD_5]}
    assert passes(tiny.MULTIBN | {"branches": branches}, SHAPE) == 1 + 2 * (5 + 1)


def test_an_attack_that_chooses_takes_its_own_steps_only():
    """Each with a forward pass of every choice; the steps of the choices are not taken."""
    steepest = tiny.STEEPEST | {"attacks": [PGD_5, PGD_5, PGD_5], "steps": 4}
    assert passes(steepest, SHAPE) == 1 + 4 * (1 + 3) + 1


def test_an_expectation_multiplies_the_passes_of_its_attack():
    assert passes({"method": "expectation", "attack": PGD_5, "samples": 3}, SHAPE) == 1 + 3 * (5 + 1)
    assert passes({"method": "expectation", "attack": PGD_5}, SHAPE) == 1 + 10 * (5 + 1)  # the default


@pytest.mark.parametrize(
    ("region", "tried"),
    [
        ({"search": "exhaustive"}, 30 * 20),
        ({"search": "exhaustive", "last_position": True}, 31 * 21),
        ({"search": "exhaustive", "stride": 7}, 4 * 2),
        ({"search": "exhaustive", "per": "frame"}, 4 * 30 * 20),
        ({"search": "gradient"}, 1 + 20),
        ({"search": "gradient", "per": "frame", "candidates": 5}, 1 + 4 * 5),
        ({"search": "gradient", "stride": 7}, 1 + 8),
    ],
)
def test_a_search_tries_the_places_of_its_region(region, tried):
    """As many calls of the loss as the search itself makes."""
    entry = {"method": "pipeline_lib.attacks.search:SearchedRectangle", "height": 10, "width": 10} | region
    assert passes(PGD_5 | {"region": entry}, SHAPE) == 1 + tried + 5 + 1
    calls = []

    def counted(clips):
        calls.append(len(clips))
        return clips.flatten(1).sum(1)

    build(entry).place(counted, torch.rand(1, 3, *SHAPE), [torch.Generator()])
    assert len(calls) == tried


def test_ends_that_are_compared_cost_a_pass_each():
    assert passes(PGD_5 | {"keep": "best"}, SHAPE) == 1 + (5 + 1) + 1
    assert passes(PGD_5 | {"restarts": 3}, SHAPE) == 1 + 3 * (5 + 1) + 1
    assert passes(PGD_5 | {"restarts": 3, "keep": "best"}, SHAPE) == 1 + 3 * (5 + 1) + 1


def test_an_attack_on_a_mean_keeps_every_pass_in_memory():
    shifted = {"method": "temporal_translation", "attack": PGD_5, "shifts": 2}
    assert [kept_passes(one, SHAPE) for one in (tiny.STANDARD, PGD_5, shifted)] == [1, 1, 5]
    assert kept_passes({"method": "expectation", "attack": shifted, "samples": 3}, SHAPE) == 15
    assert kept_passes(tiny.AVERAGE | {"attacks": [PGD_5, shifted]}, SHAPE) == 5  # one after the other
