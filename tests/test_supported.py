"""Attacks in sets that they do not support, and worst cases of other goals: refused before any job, by their key."""

import copy
import re

import pytest

from configured import CONFIG, resolved
from pipeline_lib.configuration.supported import check_supported, class_at, fits
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError

PGD = CONFIG["attacks"]["pgd"]
PRINTED = {"method": "printed_ratio_l2", "epsilon": 30, "step_size": 2.0}
L1 = {"method": "additive_l1", "epsilon": 100, "step_size": 0.25}
L2 = {"method": "additive_l2", "epsilon": 1.5, "step_size": 0.75}
BORDER = {"method": "border", "width": 1}


def of_set(**changes: object) -> dict:
    return {key: value for key, value in PGD.items() if key != "start"} | changes


def planned(odd: dict) -> dict:
    """The plan of a table that has the attack `odd`, with attacks in other sets to name in it."""
    config = copy.deepcopy(CONFIG)
    config["attacks"] |= {"printed": of_set(perturbation=PRINTED), "l1": of_set(perturbation=L1), "odd": odd}
    config["attacks"] |= {"l2_border": of_set(perturbation=L2, region=BORDER)}
    config["attacks"] |= {"aimed": {"base": "pgd", "goal": {"method": "next_class"}}}
    config["studies"]["networks"]["columns"]["odd"] = "odd"
    return resolved(config)


REFUSED = {
    "apgd in the printed ratio": (
        {"method": "apgd", "inside": "printed"},
        "attacks.odd.inside.perturbation: Apgd does not support PrintedRatioL2: give inside.perturbation = "
        "additive_linf or ratio_linf or additive_l2 or ratio_l2 or additive_l1",
    ),
    "worst case in the printed ratio": (
        {"method": "worst_case", "of": "printed"},
        "attacks.odd.of.perturbation: WorstCase does not support PrintedRatioL2",
    ),
    "square in l1": (
        {"method": "square", "inside": "l1"},
        "attacks.odd.inside.perturbation: Square does not support AdditiveL1: give inside.perturbation = "
        "additive_linf; or inside.perturbation = ratio_linf; or inside.perturbation = additive_l2, inside.region = "
        "all_pixels",
    ),
    "square in l2 and a region": (
        {"method": "square", "inside": "l2_border"},
        "attacks.odd.inside.region: Square does not support Border: give inside.perturbation = additive_linf; or",
    ),
    "inside strongest": (
        {"method": "strongest", "attacks": ["l1", {"method": "square", "inside": "l1"}]},
        "attacks.odd.attacks[1].inside.perturbation: Square does not support AdditiveL1",
    ),
    "inside an expectation": (
        {"method": "expectation", "attack": {"method": "apgd", "inside": "printed"}},
        "attacks.odd.attack.inside.perturbation: Apgd does not support PrintedRatioL2",
    ),
    "a bound of whole clips in a region": (
        of_set(perturbation=PRINTED, region=BORDER),
        "attacks.odd.region: Border: PrintedRatioL2 bounds the whole clip, use it with all_pixels",
    ),
    "another attack than an ascent": (
        {"method": "apgd", "inside": {"method": "square", "inside": "pgd"}},
        "attacks.odd.inside: ",
    ),
    "the worst case of a goal of one class": (
        {"method": "worst_case", "of": "aimed"},
        "attacks.odd.of.goal: NextClass is the goal of one class: a worst case needs goals of any error",
    ),
    "the strongest of such goals": (
        {
            "method": "strongest",
            "attacks": ["pgd", {"method": "apgd", "inside": "pgd", "goal": {"method": "next_class"}}],
        },
        "attacks.odd.attacks[1].goal: NextClass is the goal of one class",
    ),
}


@pytest.mark.parametrize(("odd", "message"), REFUSED.values(), ids=REFUSED)
def test_sets_that_an_attack_does_not_support_are_refused_by_their_key(odd, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        planned(odd)


def test_the_attack_of_a_training_is_checked_too():
    config = copy.deepcopy(CONFIG)
    config["attacks"] |= {"l1": of_set(perturbation=L1)}
    config["models"]["avg"]["defense"]["attacks"] = ["pgd", {"method": "square", "inside": "l1"}]
    message = "models.avg.defense.attacks[1].inside.perturbation: Square does not support AdditiveL1"
    with pytest.raises(PipelineError, match=re.escape(message)):
        resolved(config)


@pytest.mark.parametrize(
    "odd",
    [
        {"method": "square", "inside": of_set(perturbation=L2)},
        {"method": "square", "inside": "roa"},
        {"method": "square", "inside": "multav_af"},
        {"method": "apgd", "inside": "l1"},
        {"method": "worst_case", "of": "l2_border"},
        {"method": "strongest", "attacks": ["pgd", {"method": "apgd", "inside": "pgd", "goal": {"method": "dlr"}}]},
    ],
    ids=["l2", "rectangle", "ratio in a border", "l1", "l2 in a border", "dlr"],
)
def test_the_sets_that_they_support_are_planned(odd):
    assert planned(odd)["attacks"]["odd"]["method"] == METHODS[odd["method"]]


def test_a_field_that_is_left_out_has_the_class_of_its_default():
    entry = planned({"method": "square", "inside": "pgd"})["attacks"]["odd"]
    assert "region" not in entry["inside"]
    assert class_at(entry, "inside.region").__name__ == "AllPixels"
    assert fits(class_at(entry, "inside.region"), "all_pixels")
    assert not fits(class_at(entry, "inside.perturbation"), "additive_l2")
    check_supported("attacks.odd", entry)
