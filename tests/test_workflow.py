"""Exact incremental reruns: for every kind of change, exactly the jobs that depend on it."""

import copy
import textwrap
from pathlib import Path

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from configured import CONFIG
from pipeline_lib.configuration.requests import CUDA_PROCESS_MB, MARGIN
from planning import (
    asked,
    computing,
    copy_project,
    execute,
    model_of,
    names_of,
    plan,
    plan_of_a_fresh_project,
    pretend_finished,
    rules,
    with_all_that_follows,
)

# Of the embedded data sets' models.
IN_NO_STUDY = {"avg_all", *(f"oudefend_at_{attack}" for attack in ("pgd_l2", "multav_linf", "roa", "af", "spa"))}


@pytest.fixture
def finished(finished_project) -> Path:
    return finished_project


@pytest.fixture(scope="module")
def everything(finished_project) -> dict:
    """All jobs of the project, as for an empty folder of results."""
    return execute(finished_project, {"results": "elsewhere"})


def names_in(entry: object) -> set[str]:
    """All texts in an entry, names of attacks among them, and those in the attacks that it names."""
    if isinstance(entry, str):
        return {entry} | names_in(CONFIG["attacks"].get(entry, {}).get("attacks", []))
    parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []
    return set().union(*map(names_in, parts))


def test_nothing_changed(finished):
    assert plan(finished) == set()


def test_epsilon_reruns_its_sets_the_models_trained_on_it_and_what_depends_on_them(finished):
    jobs = plan(finished, {"attacks": {"pgd": {"perturbation": {"epsilon": "9/255"}}}})
    retrained = {name for name, model in CONFIG["models"].items() if "pgd" in names_in(model["defense"])}
    assert retrained >= {"at_pgd", "avg", "max", "msd", "multibn_manual", "multibn", "oudefend_at_pgd"}
    assert not retrained & {"standard", "surrogate", "at_roa", "trades", "at_multav_linf", "oudefend"}
    everything = plan_of_a_fresh_project(finished)
    changed = {job for job in everything if job[0] == "train" and model_of(job[2]) in retrained}
    changed |= {job for job in everything if job[0] == "attack" and job[3] in ("pgd", "pgd_worst")}
    assert jobs == with_all_that_follows(finished, changed)
    assert computing(jobs) == {job for job in computing(everything) if touches(job, "pgd", retrained)}
    assert ("table", "multav") in jobs  # its row "Add" is trained on pgd


def touches(job: tuple[str, ...], attack: str, retrained: set[str]) -> bool:
    """Whether a job makes a retrained model, attacks or predicts one, or deals with a set of the attack."""
    return bool({attack, f"{attack}_worst"} & {*job[2:]}) or any(model_of(name) in retrained for name in job[2:])


def test_training_value_of_one_schedule_reruns_the_models_that_use_it(finished):
    jobs = plan(finished, {"training": {"scratch": {"epochs": 7}}})
    # All other models of videos start from `standard`, but for two that are made from nothing by another schedule.
    names = {name for name in CONFIG["models"] if not name.startswith("shapes")} - IN_NO_STUDY
    videos = {f"{name}-s0" for name in names - {"shortcut_b", "resnext"}}
    assert {job[2] for job in jobs if job[0] == "train"} == videos
    jobs = plan(finished, {"models": {"at_af": {"training": "scratch"}}})
    assert {job[2:] for job in jobs if job[0] == "train"} == {("at_af-s0",)}
    assert {job[2] for job in jobs if job[0] in ("attack", "predict_clean", "predict_transfer")} == {"at_af-s0"}


def test_a_claim_reruns_the_table_of_claims_and_what_states_it_and_a_bad_one_nothing(finished, edit, tmp_path):
    edit("resources/paper/claims.csv", "MultiBN has the highest union of the defenses", "MultiBN is the best")
    assert plan(finished) == {("claims",), ("opening",), ("summary",), ("report",)}
    mine = tmp_path / "mine.csv"
    mine.write_text((finished / "resources/paper/claims.csv").read_text().replace(",union,", ",unions,"))
    with pytest.raises(WorkflowError, match=r"mine\.csv, line 2: table 'multibn_white_box' has no column 'unions'"):
        plan(finished, {"claims": [str(mine)]})


def test_title_of_a_study_reruns_its_table_only(finished):
    jobs = plan(finished, {"studies": {"multav": {"title": "Other"}}})
    assert jobs == {("table", "multav"), ("figure_csv", "chart_multav"), ("report",), ("summary",)}


@pytest.mark.parametrize(
    ("source", "tables"), [("surrogate-s0", {"networks", "multibn_black_box"}), ("standard-s0", {"multibn_white_box"})]
)
def test_a_table_takes_the_audits_of_its_sets(everything, source, tables):
    """The set of a black-box table is made on another model than those that it is tested on, and doubtful like any."""
    made = ("attack", "synthetic", source, "pgd")
    marked = {name[1] for name, job in everything.items() if name[0] == "table" and made in job.sources}
    assert marked >= tables
    assert ("multibn_black_box" in marked) == ("multibn_black_box" in tables)


def test_order_of_keys_and_spelling_of_numbers(finished, edit):
    edit(
        "config/embedded.yaml",
        "perturbation: {method: additive_linf, epsilon: 1.0, step_size: 120/255}",
        "perturbation: {step_size: 0.47058823529411764, epsilon: 1, method: additive_linf}",
    )
    assert plan(finished) == set()


def test_device_and_threads_are_no_part_of_a_result(finished):
    assert plan(finished, {"device": "cpu", "threads": 2}) == set()


def test_a_training_on_several_gpus_asks_for_the_cores_and_the_memory_of_all_its_processes(finished):
    def asks(job: tuple, **config) -> list[int]:
        needs = asked(finished, config | {"seeds": [1]})[job]
        return [needs["_cores"], needs["gpu"], needs["mem_mb"]]

    train, attack = ("train", "synthetic", "standard-s1"), ("attack", "synthetic", "standard-s1", "pgd")
    cores, gpus, memory = asks(train, device="cpu", threads=3, gpus=2)
    assert (cores, gpus) == (3, 0)
    *needs, on_one = asks(train, device="cuda", threads=3)
    assert needs == [4, 1]
    assert on_one > memory  # with CUDA's libraries
    *needs, on_two = asks(train, device="cuda", threads=3, gpus=2)
    assert needs == [8, 2]
    assert on_two - on_one == pytest.approx(MARGIN * CUDA_PROCESS_MB, abs=2)
    assert asks(attack, device="cuda", threads=3, gpus=2)[:2] == [4, 1]


def test_how_videos_are_decoded_is_no_part_of_a_clip_but_which_may_fail_is(finished):
    assert plan(finished, {"datasets": {"synthetic": {"decoding": {"deadline": 60}}}}) == set()
    jobs = plan(finished, {"datasets": {"synthetic": {"decoding": {"tolerate": ["MoveLeft/v_MoveLeft_g01_c01.mp4"]}}}})
    assert jobs == with_all_that_follows(finished, {("decode", "synthetic", split) for split in ("train", "test")})


def test_touched_files(finished):
    for path in [*finished.glob("workflow/**/*.*"), *finished.glob("pipeline_lib/**/*.py"), finished / "Snakefile"]:
        path.touch()
    for path in finished.glob("config/*.yaml"):
        path.touch()
    assert plan(finished) == set()


def test_comment_and_docstring_in_the_library(finished, edit):
    edit("pipeline_lib/attacks/ascent.py", "for _ in range(self.restarts):", "for _ in range(self.restarts):  # R")
    edit("pipeline_lib/training/loop.py", '"""One training loop', '"""The training loop')
    edit("workflow/scripts/train.py", '"""Trains one model', '"""It trains one model')
    assert plan(finished) == set()


def test_log_line_retrains_nothing(finished, edit):
    edit("pipeline_lib/jobs/logs.py", "LINE_EVERY_SECONDS = 10.0", "LINE_EVERY_SECONDS = 20.0")
    assert plan(finished) == set()


def test_behavior_of_sampling_decodes_again_and_renders_nothing(finished, edit):
    edit("pipeline_lib/clips/sampling.py", "% count", "% max(count, 1)")
    jobs = plan(finished)
    videos = {job for job in computing(plan_of_a_fresh_project(finished)) if job[1] == "synthetic"}
    assert computing(jobs) == videos - {("render", "synthetic")}


def test_behavior_of_the_perturbations_reruns_every_attack(finished, edit):
    edit("pipeline_lib/attacks/perturbations.py", "if length > epsilon:", "if not length <= epsilon:")
    attacked = {job[3] for job in plan(finished) if job[0] == "attack"}
    evaluated = {
        "pgd",
        "pgd_worst",
        "pgd_20",
        "roa",
        "roa_worst",
        "af",
        "spa",
        "multav_linf",
        "multav_l2",
        "multav_roa",
        "multav_af",
        "multav_spa",
        "pgd_l2",
        "pgd_unbounded",
    }
    assert attacked == evaluated | {f"pgd_bound_{epsilon}_255" for epsilon in (2, 4, 8, 16)}


def test_behavior_of_a_defense_retrains_its_models_only(finished, edit):
    edit("pipeline_lib/defenses/multibn.py", 'if self.statistics == "all"', 'if "all" == self.statistics')
    jobs = plan(finished)
    models = {name for name in CONFIG["models"] if "multibn" in name}
    assert {model_of(job[2]) for job in jobs if job[0] == "train"} == models
    assert {model_of(job[2]) for job in computing(jobs)} == models


def test_table_code_reruns_tables_only(finished, edit):
    edit("workflow/scripts/table.py", "layout = snakemake.params.layout", "layout = dict(snakemake.params.layout)")
    assert rules(plan(finished)) == {"table", "figure_csv", "report", "summary"}


def test_new_method_and_config_entries(finished, edit):
    edit(
        "pipeline_lib/entries/methods.py",
        "METHODS = {",
        'METHODS = {\n    "mine": "pipeline_lib.attacks.ascent:Ascent",',
    )
    assert plan(finished, {"attacks": {"mine": CONFIG["attacks"]["pgd"]}}) == set()


def test_new_attack_adds_its_cells(finished):
    new = {"attacks": {"new": CONFIG["attacks"]["spa"]}, "studies": {"multav": {"columns": {"new": "new"}}}}
    jobs = plan(finished, new)
    assert computing(jobs) == {("attack", "synthetic", "standard-s0", "new")}
    shown = {"table", "claims", "figure_csv", "audit_table", "opening", "report", "summary"}
    assert rules(jobs) == {"attack"} | shown


def test_sets_made_through_one_branch_are_tested_on_another(finished):
    study = {
        "title": "Matrix",
        "dataset": "synthetic",
        "columns": {name: {"source": f"multibn_manual/{name}"} for name in ("clean", "lp")},
        "rows": {"PGD, lp": {"target": "multibn_manual/lp", "attack": "pgd"}},
    }
    jobs = plan(finished, {"studies": {"matrix": study}})
    made = ("multibn_manual-s0-lp", "multibn_manual-s0-clean")
    assert computing(jobs) == {("predict_transfer", "synthetic", *made, "pgd")}  # both sets are there already


def test_an_adaptive_attack_is_an_attack_of_its_own(finished):
    loss = {"method": "adaptive", "type": "lp"}
    aimed = {"base": "pgd", "loss": loss, "sweep": {"loss.weight": [0, 1]}}
    study = {"title": "Aimed", "dataset": "synthetic", "columns": {"one": "aimed_1"}, "rows": {"MultiBN": "multibn"}}
    jobs = plan(finished, {"attacks": {"aimed": aimed}, "studies": {"aimed": study}})
    assert computing(jobs) == {("attack", "synthetic", "multibn-s0", "aimed_1")}


@pytest.mark.parametrize(("storage", "is_another"), [("lattice", False), ("float32", True)])
def test_another_storage_makes_the_sets_again_and_what_reads_them_and_trains_nothing(finished, storage, is_another):
    jobs = plan(finished, {"attacks": {"pgd": {"storage": storage}, "pgd_worst": {"storage": storage}}})
    everything = computing(plan_of_a_fresh_project(finished))
    own = {
        "pgd",
        "pgd_worst",
        *(name for name in names_of(everything) if name.startswith("pgd_bound_")),
    }  # their base is pgd
    reading = {job for job in everything if own & set(job[2:])}
    assert rules(reading) == {"attack", "predict_transfer", "features"}
    assert computing(jobs) == (reading if is_another else set())
    assert (("figure_csv_html", "perturbations_examples") in jobs) == (("audit_table",) in jobs) == is_another


FRAMING = {"method": "universal_framing", "learning": {"method": "adam", "epochs": 2}, "sweep": {"width": [1, 2]}}
BLACK = {
    "method": "fixed_pattern",
    "region": {"method": "border", "width": 1},
    "start": {"method": "constant", "value": 0},
    "sweep": {"region.width": [1, 2]},
}


def test_a_universal_attack_is_learned_before_it_is_placed(finished):
    study = {
        "title": "Framing",
        "dataset": "synthetic",
        "columns": {"W1": {"source": "standard"}, "W2": {"source": "standard"}},
        "rows": {
            "AF": {"target": "standard", "attack": {"W1": "universal_1", "W2": "universal_2"}},
            "BF": {"target": "standard", "attack": {"W1": "black_1", "W2": "black_2"}},
        },
    }
    jobs = plan(finished, {"attacks": {"universal": FRAMING, "black": BLACK}, "studies": {"framing": study}})
    expected = {(rule, "synthetic", "standard-s0", f"universal_{w}") for rule in ("learn", "attack") for w in (1, 2)}
    expected |= {("attack", "synthetic", "standard-s0", f"black_{width}") for width in (1, 2)}
    assert computing(jobs) == expected


def test_what_a_universal_attack_learned_is_kept_where_its_sets_are_stored_otherwise(tmp_path):
    project = copy_project(tmp_path)
    config = copy.deepcopy(CONFIG)
    config["attacks"]["universal"] = {key: value for key, value in FRAMING.items() if key != "sweep"} | {"width": 1}
    columns, rows = {"clean": "clean", "AF": "universal"}, {"No Defense": "standard"}
    config["studies"] = {"framing": {"title": "Framing", "dataset": "synthetic", "columns": columns, "rows": rows}}
    config["figures"] = {}
    (project / "config/demo.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    pretend_finished(project)
    jobs = plan(project, {"attacks": {"universal": {"storage": "float32"}}})
    assert computing(jobs) == {("attack", "synthetic", "standard-s0", "universal")}


def test_removed_row(finished, edit):
    edit("config/config.yaml", "      BN-Physical: multibn_manual/physical\n", "")
    shown = {("table", "multibn_branches"), ("figure_csv", "chart_multibn_branches")}
    assert plan(finished) == shown | {("audit_table",), ("claims",), ("opening",), ("report",), ("summary",)}


def test_removed_attack(finished):
    """With the model that was trained on it: what showed them is made again, and nothing is computed."""
    networks = ("R3D18", "R3D18+3DDenoise", "R3D18+2DDenoise")
    rows = {f"{network} {how}": {"af": None} for network in networks for how in ("Mult", "Add")}
    others = ["multav_linf", "multav_l2", "multav_roa", "multav_spa", "pgd", "pgd_l2"]
    gone = {
        "attacks": {"multav_af": None, "multav_af_worst": None},
        "models": {f"{network}at_multav_af": None for network in ("", "denoise_3d_", "denoise_2d_")},
        "studies": {"multav": {"columns": {"af": None}, "rows": rows}},
        "figures": {
            "perturbations_examples": {"attacks": ["pgd", "roa", "af", "spa", "multav_linf"]},
            "perturbations_multav": {"attacks": others},
        },
    }
    shown = {
        ("table", "multav"),
        ("figure_csv", "chart_multav"),
        ("figure_csv_html", "perturbations_examples"),
        ("figure_csv_html", "perturbations_multav"),
        ("audit_table",),
        ("claims",),
    }
    shown |= {("figure_csv_html", "training_synthetic"), ("opening",)}  # of all models
    assert plan(finished, gone) == shown | {("report",), ("summary",)}


def test_a_deleted_intermediate_is_made_again_alone_when_it_is_needed(finished):
    """It is the same work, so what was made of it stays, but for figures that show the file itself."""
    path, aside = finished / "results/synthetic/adversarial/standard-s0/pgd.h5", finished / "aside"
    path.rename(aside)
    unneeded = plan(finished)
    needed = plan(finished, {"figures": {"perturbations_examples": {"attacks": ["pgd", "roa"]}}})
    aside.rename(path)
    assert unneeded == set()
    figures = {("figure_csv_html", f"perturbations_{name}") for name in ("examples", "multav")}
    assert needed == figures | {("attack", "synthetic", "standard-s0", "pgd"), ("report",)}


def test_a_touched_input_is_read_and_found_the_same(finished, edit):
    edit("resources/paper/multav.csv", "\n", "\n")
    assert plan(finished) == set()
    edit("resources/paper/multav.csv", "MultAV", "MultAv")
    studies = CONFIG["studies"]
    shown = {("table", study) for study in studies} | {("figure_csv", f"chart_{study}") for study in studies}
    assert plan(finished) == shown | {("report",), ("summary",)}


def test_second_seed_leaves_the_first_alone(finished):
    jobs = plan(finished, {"seeds": [0, 1]})
    assert all(any("-s1" in name for name in job[2:]) for job in computing(jobs))
    assert {job[2] for job in jobs if job[0] == "train"} == {
        f"{name}-s1" for name in CONFIG["models"].keys() - IN_NO_STUDY
    }
    # Black-box sets are made on the surrogate's first seed alone; the other one has its row in a table.
    assert {job[3] for job in jobs if job[0] == "attack" and job[2] == "surrogate-s1"} == {"pgd"}


def test_users_own_attack_beside_the_snakefile(finished):
    source = """
        from dataclasses import dataclass

        @dataclass(frozen=True, kw_only=True)
        class Flicker:
            strength: float

            def __call__(self, loss, clips, generators): ...

            def quantize(self, adversarial, clean): ...
    """
    (finished / "my_attack.py").write_text(textwrap.dedent(source))
    mine = {"attacks": {"mine": {"method": "my_attack:Flicker", "strength": 0.1}}}
    mine["studies"] = {"multav": {"columns": {"mine": "mine"}}}
    assert ("attack", "synthetic", "standard-s0", "mine") in plan(finished, mine)


def test_weights_from_a_file_replace_the_model_to_start_from(finished):
    (finished / "weights.pth").touch()
    jobs = plan(finished, {"models": {"at_af": {"initial": {"file": "weights.pth"}}}})
    assert {job[2] for job in jobs if job[0] == "train"} == {"at_af-s0"}


def test_a_missing_file_of_weights_is_named_before_any_job(finished):
    with pytest.raises(WorkflowError, match=r"config: models\.at_af\.initial\.file: there is no file .*none\.pth"):
        plan(finished, {"models": {"at_af": {"initial": {"file": "none.pth"}}}})


def test_a_configuration_with_nothing_to_show_is_refused(finished):
    with pytest.raises(WorkflowError, match="no `studies` and no `figures`, so there is nothing to make"):
        plan(finished, {"extends": "embedded"})
