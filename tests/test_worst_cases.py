"""Worst cases beside the columns of a study: which attacks they are, their cells, and what is refused."""

import copy
import re

import pytest
import torch
from torch import nn

from configured import CONFIG, SCHEMA, resolved
from pipeline_lib.attacks import (
    DLR,
    AdditiveLinf,
    Apgd,
    Ascent,
    Margin,
    NextClass,
    PrintedRatioL2,
    Strongest,
    TargetedDLR,
    UniformNoise,
    WorstCase,
    craft,
)
from pipeline_lib.configuration.config import read_config
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.configuration.studies import used_cells
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.costs import passes

CLIPS = torch.randint(40, 216, (40, 3, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 255
PGD = Ascent(perturbation=AdditiveLinf(epsilon=0.008, step_size=0.004), start=UniformNoise(radius=0.008), steps=1)


def configured(*changes: tuple[str, object]) -> dict[str, dict]:
    """The plan of the configuration without worst cases, with values set by their dotted paths."""
    config = copy.deepcopy(CONFIG)
    config["studies"]["multibn_white_box"].pop("beside")
    for path, value in changes:
        *parents, last = path.split(".")
        entry = config
        for name in parents:
            entry = entry[name]
        entry[last] = value
    return read_config(with_defaults(config, SCHEMA), SCHEMA)


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_the_short_form_is_the_list_for_the_number_of_classes(classes):
    def apgd(**fields: object) -> Apgd:
        return Apgd(inside=PGD, **fields)

    lists = {
        2: [apgd(steps=5), apgd(steps=7, goal=Margin())],
        3: [apgd(steps=5), apgd(steps=7, goal=DLR())],
        4: [apgd(steps=5), *(apgd(steps=7, goal=TargetedDLR(rank=rank)) for rank in (1, 2, 3))],
        6: [apgd(steps=5), *(apgd(steps=7, goal=TargetedDLR(rank=rank)) for rank in (1, 2, 3))],
    }
    network = separating(classes)
    labels = network(CLIPS).argmax(1)
    short = craft(network, CLIPS, labels, WorstCase(of=PGD, steps=5, targeted_steps=7))
    assert torch.equal(short, craft(network, CLIPS, labels, Strongest(attacks=[PGD, *lists[classes]])))
    stands, stood = (network(clips).argmax(1) == labels for clips in (short, craft(network, CLIPS, labels, PGD)))
    assert 0 < stands.sum() < stood.sum()


def separating(classes: int) -> nn.Module:
    """A network whose classes are about equally frequent in clips around one grey."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first, last = nn.Linear(216, 24, bias=False), nn.Linear(24, classes, bias=False)
    first.weight.data -= first.weight.mean(1, keepdim=True)
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), last).eval().requires_grad_(False)


def test_few_targets_are_the_likeliest_ones():
    goals = [attack.goal for attack in WorstCase(of=PGD, targets=2).stronger(6)[1:]]
    assert goals == [TargetedDLR(rank=1), TargetedDLR(rank=2)]
    assert [attack.steps for attack in WorstCase(of=PGD).stronger(6)] == [100] * 6  # AutoAttack's, towards every class
    short = WorstCase(of=PGD, steps=5, targeted_steps=7)
    assert [[attack.steps for attack in short.stronger(classes)] for classes in (2, 3, 4)] == [
        [5, 7],
        [5, 7],
        [5, 7, 7, 7],
    ]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (Ascent(perturbation=PGD.perturbation, steps=1, goal=NextClass()), "^of has the goal NextClass"),
        (Ascent(perturbation=PrintedRatioL2(epsilon=2, step_size=1.5), steps=1), "PrintedRatioL2: it has no adaptive"),
    ],
)
def test_attacks_without_a_worst_case(attack, message):
    with pytest.raises(PipelineError, match=message):
        WorstCase(of=attack)


def test_its_entry_states_the_passes_of_the_longest_list():
    entry = resolved(CONFIG)["attacks"]["pgd_worst"]
    assert isinstance(build(entry), WorstCase)
    listed = {"method": "pipeline_lib.attacks.strongest:Strongest"}
    apgd = {"method": "pipeline_lib.attacks.apgd:Apgd", "inside": entry["of"]}
    listed["attacks"] = [entry["of"], apgd, *[apgd | {"steps": 40}] * entry["targets"]]
    assert passes(entry, (8, 32, 32)) == passes(listed, (8, 32, 32))


def test_each_white_box_column_gets_the_worst_case_of_its_name():
    plan = configured(("studies.multibn_white_box.beside", "worst_case"))
    worst = plan["studies"]["multibn_white_box"]["worst"]
    assert worst["MultiBN-manual"]["roa"] == [
        {"target": "multibn_manual-s0-physical", "attack": "roa_worst", "source": "multibn_manual-s0-physical"}
    ]
    assert {*worst["AVG"]} == {"pgd", "roa", "af", "spa"}
    layouts = Layouts(plan, Paths("out"), "")
    row = next(row for row in layouts.studies["multibn_white_box"]["rows"] if row["label"] == "AVG")
    assert row["worst"]["pgd"] == {
        "cells": ["out/synthetic/predictions/avg-s0/avg-s0/pgd_worst.csv"],
        "audits": ["out/synthetic/adversarial/avg-s0/pgd_worst.audit.csv"],
    }
    files = {path for each in row["worst"].values() for paths in each.values() for path in paths}
    assert len(files) == 8
    assert files <= {*layouts.study_files("multibn_white_box")}
    assert files & {*layouts.audits()} == {path for path in files if "audit" in path}


def test_the_audit_compares_each_set_with_its_worst_case():
    sets = Layouts(configured(("studies.multibn_white_box.beside", "worst_case")), Paths("out"), "").audited_sets
    worst = {(one["source"], one["attack"]): one.get("worst") for one in sets if one["dataset"] == "synthetic"}
    assert worst["avg-s0", "pgd"] == "pgd_worst"
    assert worst["avg-s0", "pgd_worst"] is None
    assert worst["surrogate-s0", "pgd"] is None
    assert not any("worst" in one for one in Layouts(configured(), Paths("out"), "").audited_sets)


def test_studies_without_the_key_are_planned_as_before():
    plain = configured()
    plan = configured(("studies.multibn_white_box.beside", "worst_case"))
    paths = Paths("out")
    before, after = (Layouts(each, paths, "").studies for each in (plain, plan))
    assert {name: after[name] for name in after if name != "multibn_white_box"} == {
        name: before[name] for name in before if name != "multibn_white_box"
    }
    assert not any("worst" in row for study in before.values() for row in study["rows"])
    assert plan["attacks"] == plain["attacks"]

    def cells(plan: dict) -> set:
        return {(dataset, *cell.values()) for dataset, cell in used_cells(plan)}

    more = cells(plan) - cells(plain)
    assert cells(plain) <= cells(plan)
    assert {attack for _, _, attack, _ in more} == {"pgd_worst", "roa_worst", "af_worst", "spa_worst"}


def without_numbers(entry):
    """A worst case that is made for an attack has the default's numbers of steps and targets."""
    return {key: value for key, value in entry.items() if key not in ("steps", "targeted_steps", "targets")}


def test_over_a_whole_configuration_all_attacks_made_on_the_target_get_one():
    plan = configured(("beside", "worst_case"), ("attacks.pgd_worst", None))
    shown = {name for name, study in plan["studies"].items() if "worst" in study}
    assert shown == {*CONFIG["studies"]} - {"multibn_black_box", "multibn_selection"}
    assert plan["attacks"]["pgd_worst"] == without_numbers(resolved(CONFIG)["attacks"]["pgd_worst"])
    plan = configured(("beside", "worst_case"), ("studies.networks.beside", "nothing"))
    assert "worst" not in plan["studies"]["networks"]


def test_a_worst_case_is_made_for_attacks_without_one_and_keeps_their_storage():
    aimed = {"base": "pgd", "goal": {"method": "next_class"}}
    plan = configured(
        ("attacks.kept", {"base": "pgd", "storage": "float32"}),
        ("attacks.aimed", aimed),
        ("studies.networks.columns", {"clean": "clean", "kept": "kept", "aimed": "aimed", "long": "pgd_20"}),
        ("studies.networks.beside", "worst_case"),
    )
    attacks = plan["attacks"]
    assert attacks["kept_worst"] == without_numbers(attacks["pgd_worst"]) | {"storage": "float32"}
    assert attacks["pgd_20_worst"]["of"] == attacks["pgd_20"]
    assert not {"aimed_worst", "clean_worst", "kept_worst_worst"} & attacks.keys()
    assert {*plan["studies"]["networks"]["worst"]["ResNeXt"]} == {"kept", "long"}


ROA_LIST = {"method": "strongest", "attacks": ["roa", {"method": "apgd", "inside": "roa", "steps": 5}]}
REFUSED = {
    "another bound": (
        [("beside", {"pgd": "roa_worst"})],
        "'roa_worst' is no worst case of 'pgd': it has another bound",
    ),
    "another region": (
        [("beside", {"af": "odd"}), ("odd", {"method": "worst_case", "of": "wide"})],
        "rows.No Defense.af: 'odd' is no worst case of 'af': it has another bound",
    ),
    "not contained": ([("beside", {"pgd": "pgd_20"})], "its attacks do not contain that attack"),
    "storage": (
        [("beside", {"roa": "odd"}), ("odd", ROA_LIST | {"storage": "float32"})],
        "'odd' is no worst case of 'roa': it stores clips as float32, and the column as lattice",
    ),
    "unknown attack": ([("beside", {"pgd": "pdg_worst"})], "beside.pgd: unknown attack 'pdg_worst'"),
    "unknown column": ([("beside", {"pdg": "pgd_worst"})], "beside.pdg: unknown column 'pdg'"),
    "value": ([("beside", "best_case")], "studies.multibn_white_box.beside"),
    "none": ([("beside", {"clean": "pgd_worst"})], "beside: no column has a worst case"),
    "mixed list": (
        [("beside", {"roa": "odd"}), ("odd", {"method": "strongest", "attacks": ["roa", "pgd"]})],
        "attacks.odd.attacks[1]: has another bound than attacks[0]",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_worst_case_is_refused_before_any_job(changes, message):
    wide = CONFIG["attacks"]["af"] | {"region": {"method": "border", "width": 2}}
    paths = {"beside": "studies.multibn_white_box.beside", "odd": "attacks.odd"}
    with pytest.raises(PipelineError, match=re.escape(message)):
        configured(("attacks.wide", wide), *((paths[key], value) for key, value in changes))


def test_step_sizes_spellings_and_defaults_are_no_part_of_a_bound():
    other = {
        "method": "strongest",
        "attacks": [
            "roa",
            {
                "method": "ascent",
                "perturbation": {"method": "additive_linf", "epsilon": 1, "step_size": 0.1},
                "region": {"method": "random_rectangle", "height": 9, "width": 9, "per": "frame"},
                "start": {"method": "constant", "value": 0.5},
                "steps": 20,
            },
        ],
    }
    plan = configured(("attacks.odd", other), ("studies.multibn_white_box.beside", {"roa": "odd"}))
    assert {*plan["studies"]["multibn_white_box"]["worst"]["MultiBN"]} == {"roa"}


def test_selections_have_no_worst_case():
    with pytest.raises(PipelineError, match="multibn_selection.beside: a table of selections has no worst cases"):
        configured(("studies.multibn_selection.beside", "worst_case"))


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_all_attacks_of_a_worst_case_compute_in_the_precision_of_the_first(classes):
    own = Ascent(perturbation=AdditiveLinf(epsilon=0.1, step_size=0.05), steps=1, precision="bf16")
    assert {one.precision for one in WorstCase(of=own).stronger(classes)} == {"bf16"}
