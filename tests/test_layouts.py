"""Layouts of tables: which files the numbers of each cell come from."""

import pytest

from configured import CONFIG, ROOT, resolved
from pipeline_lib.configuration.jobs import Jobs
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.parameters import plain
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.studies import used_cells

ATTACKS = CONFIG["attacks"] | {name: CONFIG["attacks"][name] | {"storage": "float32"} for name in ("pgd", "pgd_worst")}
PLAN = resolved(CONFIG | {"seeds": [0, 1], "attacks": ATTACKS})
PATHS = Paths("out")
LAYOUTS = Layouts(PLAN, PATHS, "")


def row(study: str, label: str) -> dict:
    return next(row for row in LAYOUTS.studies[study]["rows"] if row["label"] == label)


def test_each_cell_has_the_predictions_of_each_seed():
    found = row("multibn_white_box", "MultiBN-manual")
    assert found["seeds"] == [0, 1]
    assert found["cells"]["pgd"] == [
        f"out/synthetic/predictions/multibn_manual-s{seed}-lp/multibn_manual-s{seed}-lp/pgd.csv" for seed in (0, 1)
    ]
    assert found["cells"]["clean"][1] == "out/synthetic/predictions/multibn_manual-s1-clean/clean.csv"


def test_a_cell_has_the_audits_of_sets_made_on_its_own_target():
    found = row("multibn_white_box", "AT-AF")["audits"]
    assert found["pgd"] == [f"out/synthetic/adversarial/at_af-s{seed}/pgd.audit.csv" for seed in (0, 1)]
    assert found["clean"] == []
    assert "source_audits" not in row("multibn_white_box", "AT-AF")


def test_a_transfer_cell_has_the_audits_of_the_sets_of_its_source():
    found = row("multibn_black_box", "AVG")
    assert not any(found["audits"].values())
    assert found["source_audits"]["pgd"] == ["out/synthetic/adversarial/surrogate-s0/pgd.audit.csv"] * 2
    assert found["source_audits"]["clean"] == []
    assert found["source_audits"]["pgd"][0] in LAYOUTS.study_files("multibn_black_box")


@pytest.mark.parametrize("study", CONFIG["studies"])
def test_a_study_that_shows_sizes_has_a_history_for_each_row(study):
    histories = [row["history"] for row in LAYOUTS.studies[study]["rows"]]
    assert all(histories) if CONFIG["studies"][study].get("parameters") else not any(histories)
    assert {*filter(None, histories)} <= {PATHS.history(*trained) for trained in LAYOUTS.trained}


@pytest.mark.parametrize("study", CONFIG["studies"])
def test_the_files_of_a_study_are_those_of_its_layout(study):
    layout, files = LAYOUTS.studies[study], LAYOUTS.study_files(study)
    cells = {path for row in layout["rows"] for paths in row["cells"].values() for path in paths}
    sets = [row.get(key, {}) for row in layout["rows"] for key in ("audits", "source_audits")]
    audits = {path for columns in sets for paths in columns.values() for path in paths}
    worst = [files for row in layout["rows"] for files in row.get("worst", {}).values()]
    cells |= {path for files in worst for path in files["cells"]}
    audits |= {path for files in worst for path in files["audits"]}
    histories = {row["history"] for row in layout["rows"]} - {None}
    histories |= {path for row in layout["rows"] for paths in row["selectors"].values() for path in paths}
    assert {*files} == cells | audits | histories
    assert LAYOUTS.study_audits(study) == sorted(audits)
    assert files == sorted(files)


def test_the_training_of_a_selection_module_belongs_to_the_numbers_that_it_chose():
    """A fixed branch does not select, and other models have no module."""
    rows = {label: row("multibn_white_box", label)["selectors"] for label in ("MultiBN", "MultiBN-manual", "AVG")}
    own = [PATHS.history("synthetic", f"multibn-s{seed}") for seed in (0, 1)]
    assert rows["MultiBN"] == dict.fromkeys(("clean", "pgd", "roa", "af", "spa"), own)
    assert not any(files for label in ("MultiBN-manual", "AVG") for files in rows[label].values())


def test_a_layout_is_plain_data():
    assert plain(LAYOUTS.studies) == LAYOUTS.studies


def test_the_note_of_the_configuration_follows_that_of_the_data_set():
    own = CONFIG["datasets"]["shapes"]["note"]
    assert LAYOUTS.studies["halftone"]["note"] == own
    assert Layouts(PLAN, PATHS, "Half the epochs.").studies["halftone"]["note"] == f"{own} Half the epochs."


def test_every_set_that_is_shown_is_audited_once_with_its_storage():
    sets = [(one["dataset"], one["source"], one["attack"]) for one in LAYOUTS.audited_sets]
    shown = {(dataset, cell["source"], cell["attack"]) for dataset, cell in used_cells(PLAN)}
    assert sets == sorted(one for one in shown if one[2] != "clean")
    assert {one["storage"] for one in LAYOUTS.audited_sets if one["attack"] == "pgd"} == {"float32"}
    assert {one["storage"] for one in LAYOUTS.audited_sets if one["attack"] == "roa"} == {"lattice"}
    assert LAYOUTS.audits() == [PATHS.adversarial(*one, "audit.csv") for one in sets]


def test_each_study_and_the_audits_have_a_table_in_every_format():
    tables = LAYOUTS.tables()
    assert len(tables) == len({*tables}) == 4 * (2 * len(CONFIG["studies"]) + 1)
    assert {
        "out/tables/multav.csv",
        "out/tables/multav.html",
        "out/tables/audit.tex",
        "out/tables/differences/multav.md",
    } <= {*tables}


def test_entries_are_those_of_the_attacks_and_models_of_the_studies():
    found = LAYOUTS.entries
    assert found["attacks"]["pgd"] == PLAN["attacks"]["pgd"]
    assert {"at_pgd-s0", "multibn_manual-s1", "surrogate-s0"} <= found["models"].keys()
    assert "initial" not in found["models"]["at_pgd-s0"]
    assert LAYOUTS.clips_of_studies()[0] == next(iter(LAYOUTS.studies.values()))["rows"][0]["cells"]["clean"][0]


def test_trainings_are_those_of_the_models_that_are_shown():
    assert LAYOUTS.datasets == ["shapes", "synthetic"]
    assert ("shapes", "shapes_halftone-s1") in LAYOUTS.trained
    assert {name for name, model in LAYOUTS.trained if model.startswith("shapes")} == {"shapes"}


def test_an_allowed_overlap_is_printed_under_every_table_of_its_data_set():
    datasets = CONFIG["datasets"] | {"shapes": CONFIG["datasets"]["shapes"] | {"allow_overlap": True}}
    studies = Layouts(resolved(CONFIG | {"datasets": datasets}), PATHS, "Mine.").studies
    own = CONFIG["datasets"]["shapes"]["note"]
    assert studies["halftone"]["note"] == f"{own} Test videos may be training videos too (allow_overlap). Mine."
    assert "overlap" not in studies["multav"]["note"]


def test_the_summary_pairs_each_layout_with_the_table_of_its_study():
    """Parameters have their keys in order, so the tables must have the same one."""
    study = CONFIG["studies"]["networks"]
    plan = resolved(CONFIG | {"studies": {"second": study, "first": study}})
    layouts = Layouts(plan, Paths("out"), "")
    job = Jobs(plan, Paths("out"), layouts, CONFIG["evaluation"], ROOT).describe("summary", {})
    assert list(plain(layouts.studies)) == ["first", "second"]
    assert job.inputs["tables"] == ["out/tables/first.csv", "out/tables/second.csv"]
