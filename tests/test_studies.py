"""Cells of studies, and all that is used: which target meets which attack, made on which source."""

import re

import pytest

from configured import SCHEMA, changed, resolved
from pipeline_lib.configuration.figures import resolve_figures
from pipeline_lib.configuration.structure import with_defaults
from pipeline_lib.configuration.studies import resolve_studies, used_cells, used_models
from pipeline_lib.configuration.targets import all_targets, seeds_of, split_target
from pipeline_lib.errors import PipelineError

BRANCHES = {"clean": [], "lp": [{"steps": 1}]}
STANDARD = {"method": "standard"}

MANUAL = {"method": "multibn_manual", "branches": BRANCHES}
SELECTING = {"method": "multibn", "branches": BRANCHES, "selector": {}}


def model(defense: dict, seed: int = 0, epochs: int = 1, initial: str | None = None) -> dict:
    return {"defense": defense, "seed": seed, "training": {"epochs": epochs}, "initial": initial}


MODELS = {
    **{f"plain-s{seed}": model(STANDARD, seed) for seed in (0, 1)},
    **{
        f"twin-s{seed}": model(
            {"method": "transformed", "transform": {}, "defense": STANDARD}, seed, 0, f"plain-s{seed}"
        )
        for seed in (0, 1)
    },
    **{f"tuned-s{seed}": model(STANDARD, seed, 1, f"plain-s{seed}") for seed in (0, 1)},
    **{f"manual-s{seed}": model(MANUAL, seed) for seed in (0, 1)},
    "soft-s0": model(SELECTING),
    "wrapped-s0": model({"method": "transformed", "transform": {}, "defense": SELECTING}),
}
ASCENT = {"method": "ascent", "steps": 1}
AIM = {"method": "adaptive", "type": "lp", "weight": 1.0}
ATTACKS = {"pgd": ASCENT, "roa": ASCENT | {"steps": 2}, "aimed": ASCENT | {"loss": AIM}}
PLAN = {"datasets": {"d": {}}, "models": MODELS, "attacks": ATTACKS}


def written(columns: dict, rows: dict, **keys: object) -> dict:
    """A study with the schema's defaults."""
    study = {"title": "T", "dataset": "d", "columns": columns, "rows": rows, **keys}
    return with_defaults({"studies": {"s": study}}, SCHEMA)["studies"]["s"]


def rows_of(columns: dict, rows: dict, **keys: object) -> dict:
    study = written(columns, rows, **keys)
    return resolve_studies({"studies": {"s": study}}, PLAN)["s"]["rows"]


def cell(target: str, attack: str, source: str | None) -> dict:
    return {"target": target, "attack": attack, "source": source}


def test_every_view_of_a_model_is_a_target_and_has_its_seed():
    targets = all_targets(MODELS)
    assert [name for name in targets if name.startswith("manual-s1")] == [f"manual-s1-{name}" for name in BRANCHES]
    assert [name for name in targets if name.startswith("soft")] == ["soft-s0-clean", "soft-s0-lp", "soft-s0"]
    assert {split_target(name)[0] for name in targets} == MODELS.keys()
    assert seeds_of(["manual-s1-lp", "plain-s0", "manual-s1-clean"], MODELS) == [0, 1]


def test_a_target_is_its_own_source_and_clean_clips_have_none():
    rows = rows_of({"clean": "clean", "pgd": "pgd"}, {"Plain": "plain", "Manual": {"pgd": "manual/lp"}})
    assert rows["Plain"]["clean"] == [cell("plain-s0", "clean", None), cell("plain-s1", "clean", None)]
    assert rows["Plain"]["pgd"] == [cell(f"plain-s{seed}", "pgd", f"plain-s{seed}") for seed in (0, 1)]
    assert rows["Manual"] == {"pgd": [cell(f"manual-s{seed}-lp", "pgd", f"manual-s{seed}-lp") for seed in (0, 1)]}


def test_the_matrix_of_branches():
    """Rows say the attack and the branch it is tested on, columns the branch it is made on."""
    columns = {"target_clean": {"source": "manual/clean"}, "target_lp": {"source": "manual/lp"}}
    rows = rows_of(columns, {"PGD, clean": {"target": "manual/clean", "attack": "pgd"}})
    assert rows["PGD, clean"]["target_lp"] == [
        cell("manual-s0-clean", "pgd", "manual-s0-lp"),
        cell("manual-s1-clean", "pgd", "manual-s1-lp"),  # another view of the same model, so of the same seed
    ]
    assert rows["PGD, clean"]["target_clean"][1] == cell("manual-s1-clean", "pgd", "manual-s1-clean")


def test_what_a_column_leaves_open_is_said_by_the_row_and_then_by_the_study():
    columns = {"pgd": "pgd", "gray": {"attack": "pgd", "source": "soft"}, "open": {"source": "soft/lp"}}
    row = {"target": {"pgd": "plain", "gray": "plain", "open": "plain"}, "attack": "roa", "source": "manual/lp"}
    rows = rows_of(columns, {"R": row, "S": {"target": "plain", "attack": "roa"}}, source="soft/clean")
    first = {column: cells[0] for column, cells in rows["R"].items()}
    assert first["pgd"] == cell("plain-s0", "pgd", "manual-s0-lp")
    assert first["gray"] == cell("plain-s0", "pgd", "soft-s0")
    assert first["open"] == cell("plain-s0", "roa", "soft-s0-lp")
    assert rows["S"]["pgd"][1] == cell("plain-s1", "pgd", "soft-s0-clean")  # another model: its first seed


def test_a_gray_box_attack_is_made_on_the_weights_of_the_same_seed():
    """Without the transform in front of them; weights that were trained on are another model's."""
    rows = rows_of({"pgd": "pgd"}, {"Gray": {"target": "twin", "source": "plain"}, "Tuned": "tuned"}, source="twin")
    assert rows["Gray"]["pgd"] == [cell(f"twin-s{seed}", "pgd", f"plain-s{seed}") for seed in (0, 1)]
    assert rows["Tuned"]["pgd"] == [cell(f"tuned-s{seed}", "pgd", "twin-s0") for seed in (0, 1)]


def test_a_row_may_have_an_attack_for_each_column():
    """The framing's table: a row is a kind of frame, a column a width."""
    columns = {"W1": {"source": "soft"}, "W2": {"source": "soft"}}
    rows = rows_of(columns, {"AF": {"target": "plain", "attack": {"W1": "pgd", "W2": "roa"}}})
    assert [rows["AF"][column][0]["attack"] for column in columns] == ["pgd", "roa"]


def test_an_attack_that_a_row_names_for_one_column_counts_more_than_the_columns():
    """A row of a random transform with fewer draws than the column's."""
    rows = rows_of({"c": "pgd", "d": "pgd"}, {"R": {"target": "plain", "attack": {"d": "roa"}}, "S": "plain"})
    assert [rows[label][column][0]["attack"] for label in "RS" for column in "cd"] == ["pgd", "roa", "pgd", "pgd"]


ERRORS = {
    "attack of a column": (
        {"c": {"source": "soft"}},
        {"target": "plain", "attack": {"x": "pgd"}},
        "unknown column 'x'",
    ),
    "attack of no column": ({"c": {"source": "soft"}}, {"target": "plain", "attack": {}}, "rows.R.attack: missing"),
    "attack": ({"c": {"attack": "x"}}, "plain", "studies.s.columns.c: unknown attack 'x'; known: aimed, clean, pgd"),
    "source": ({"c": {"source": "x"}}, "plain", "studies.s.columns.c.source: unknown model 'x'"),
    "no attack": ({"c": {"source": "soft"}}, "plain", "rows.R.attack: missing, and column 'c' names none either"),
    "row source": ({"c": "pgd"}, {"target": "plain", "source": "manual"}, "R.source: model 'manual' has branches"),
    "row attack": ({"c": "pgd"}, {"target": "plain", "attack": "x"}, "rows.R: unknown attack 'x'"),
    "row key": ({"c": "pgd"}, {"target": "plain", "c": "soft"}, "R.c: unknown key of a row with 'target'; known: att"),
    "reserved": ({"target": "pgd"}, "plain", "studies.s.columns.target: this label is reserved"),
    "branch": ({"c": "aimed"}, "soft/lp", "R: attack 'aimed' maximizes the loss of a selection module, and soft-s0-lp"),
    "no selection": ({"c": "aimed"}, "plain", "rows.R: attack 'aimed' maximizes the loss of a selection module"),
}


@pytest.mark.parametrize(("columns", "row", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_the_key(columns, row, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        rows_of(columns, {"R": row})


def test_the_reference_is_a_row():
    with pytest.raises(PipelineError, match=re.escape("studies.s.reference: unknown row 'X'; known: R")):
        rows_of({"c": "pgd"}, {"R": "plain"}, reference="X")
    study = written({"c": "pgd"}, {"R": "plain"}, reference="R")
    assert resolve_studies({"studies": {"s": study}}, PLAN)["s"]["reference"] == "R"


def test_a_reference_may_be_a_row_for_each_of_some():
    columns, rows = {"c": "pgd"}, {"Mult": "plain", "Add": "plain"}
    study = written(columns, rows, reference={"Mult": "Add"})
    assert resolve_studies({"studies": {"s": study}}, PLAN)["s"]["reference"] == {"Mult": "Add"}
    for reference, message in (
        ({"Mult": "X"}, "studies.s.reference.Mult: unknown row 'X'; known: Add, Mult"),
        ({"X": "Add"}, "studies.s.reference.X: unknown row 'X'; known: Add, Mult"),
        ({"Add": "Add"}, "studies.s.reference.Add: a row is not compared with itself: name another one"),
    ):
        with pytest.raises(PipelineError, match=re.escape(message)):
            rows_of(columns, rows, reference=reference)


def test_an_aimed_attack_needs_a_selecting_source_that_knows_its_type():
    rows = rows_of(
        {"c": "aimed"}, {"Soft": "soft", "Wrapped": "wrapped", "Other": {"target": "plain", "source": "soft"}}
    )
    assert [cells["c"][0]["source"] for cells in rows.values()] == ["soft-s0", "wrapped-s0", "soft-s0"]
    plan = PLAN | {"attacks": {"aimed": ASCENT | {"loss": AIM | {"type": "physical"}}}}
    study = written({"c": "aimed"}, {"R": "soft"})
    with pytest.raises(PipelineError, match="aimed.loss.type: unknown branch 'physical'; known: clean, lp"):
        resolve_studies({"studies": {"s": study}}, plan)


def test_everything_that_is_shown_is_used():
    columns = {"gray": {"attack": "pgd", "source": "soft"}, "clean": "clean"}
    study = written(columns, {"R": "plain"})
    given = {
        "p": {"method": "perturbations", "dataset": "d", "source": "manual/lp", "attacks": ["roa"]},
        "i": {"method": "iterations", "dataset": "d", "attack": "pgd", "rows": {"W": "wrapped"}},
        "t": {"method": "training_curves", "dataset": "d", "models": ["tuned-s1"]},
    }
    plan = PLAN | {"studies": resolve_studies({"studies": {"s": study}}, PLAN)}
    plan |= {"figures": resolve_figures({"figures": given}, {}, plan)}
    used = ["manual-s0", "plain-s0", "plain-s1", "soft-s0", "tuned-s1", "wrapped-s0"]
    assert used_models(plan) == used_models(plan, "d") == used
    assert used_models(plan, "other") == []
    assert ("d", cell("manual-s0-lp", "roa", "manual-s0-lp")) in list(used_cells(plan))


def test_a_row_of_models_with_different_numbers_of_seeds_is_refused_while_planning():
    config = changed("models.standard.seeds", [0, 1])
    with pytest.raises(PipelineError, match=r"columns have different numbers of seeds"):
        resolved(config)
