"""Sweeps and bases: what they make is what one would have written by hand."""

import re

import pytest

from pipeline_lib.configuration.sweeps import merged, positions, slug, written_out
from pipeline_lib.errors import PipelineError

PGD = {
    "method": "ascent",
    "perturbation": {"method": "additive_linf", "epsilon": "8/255", "step_size": "2/255"},
    "start": {"method": "uniform_noise", "radius": "8/255"},
    "steps": 5,
}


def test_a_sweep_stands_for_its_entries():
    entries, sweeps = written_out({"pgd": PGD, "pgd_steps": {"base": "pgd", "sweep": {"steps": [1, 20]}}})
    assert entries == {"pgd": PGD, "pgd_steps_1": PGD | {"steps": 1}, "pgd_steps_20": PGD | {"steps": 20}}
    assert sweeps["pgd_steps"] == ("steps", {"pgd_steps_1": 1, "pgd_steps_20": 20})


def test_inner_keys_move_together_and_the_first_one_names_the_entries():
    keys = {"perturbation.epsilon": ["2/255", 0.5], "start.radius": ["2/255", 0.25]}
    entries, sweeps = written_out({"pgd": PGD, "bound": {"base": "pgd", "sweep": keys}})
    assert entries["bound_2_255"]["perturbation"] == PGD["perturbation"] | {"epsilon": "2/255"}
    assert entries["bound_0_5"]["start"] == {"method": "uniform_noise", "radius": 0.25}
    assert entries["bound_0_5"]["steps"] == 5
    assert sweeps["bound"].key == "perturbation.epsilon"


def test_a_base_is_changed_key_by_key_and_left_alone():
    entries, _ = written_out({"weak": {"base": "pgd", "perturbation": {"epsilon": 0.1}, "steps": 2}, "pgd": PGD})
    assert entries["weak"] == PGD | {"perturbation": PGD["perturbation"] | {"epsilon": 0.1}, "steps": 2}
    assert entries["pgd"] == PGD
    assert PGD["perturbation"]["epsilon"] == "8/255"


def test_a_method_of_its_own_replaces_the_entry_below():
    assert merged(PGD, {"start": {"method": "at_clean"}})["start"] == {"method": "at_clean"}


def test_a_base_may_stand_on_another_and_a_sweep_needs_none():
    attacks = {"pgd": PGD, "a": {"base": "pgd", "steps": 1}, "b": {"base": "a", "loss": {"method": "adaptive"}}}
    attacks["c"] = PGD | {"sweep": {"steps": [7]}}
    entries, _ = written_out(attacks)
    assert entries["b"] == PGD | {"steps": 1, "loss": {"method": "adaptive"}}
    assert entries["c_7"] == PGD | {"steps": 7}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"base": "pdg"}, "attacks.x.base: unknown attack 'pdg'; known: pgd"),
        ({"base": "x"}, "attacks.x.base: unknown attack 'x'; known: pgd"),
        ({"base": "swept"}, "attacks.x.base: 'swept' is a sweep: name a single attack"),
        ({"base": "pgd", "sweep": {"steps": [1, 2], "start.radius": [0]}}, "x.sweep: lists of different lengths"),
        ({"base": "pgd", "sweep": {"steps": [1, 1]}}, "x.sweep.steps: two values are named 'x_1': 1 and 1"),
        ({"base": "pgd", "sweep": {"start.radius": [0.5, "0_5"]}}, "named 'x_0_5': 0.5 and '0_5'"),
    ],
)
def test_errors_name_the_key(entry, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        written_out({"pgd": PGD, "swept": {"base": "pgd", "sweep": {"steps": [3]}}, "x": entry})


def test_a_made_name_that_is_written_too():
    swept = {"base": "pgd", "sweep": {"steps": [1]}}
    for attacks in ({"pgd": PGD, "a": swept, "a_1": PGD}, {"pgd": PGD, "a_1": PGD, "a": swept}):
        with pytest.raises(PipelineError, match="the name 'a_1' is used twice"):
            written_out(attacks)


def test_names_are_slugs():
    assert [slug(value) for value in (1, 0.5, "2/255", 1e-05, True, "best")] == [
        "1",
        "0_5",
        "2_255",
        "1e_05",
        "true",
        "best",
    ]


def test_values_stand_at_their_numbers_or_in_their_order():
    assert positions([1, "2/4", 0.25]) == [1, 0.5, 0.25]
    assert positions(["best", "last"]) == [0, 1]
    assert positions(["1/0"]) == [0]
