"""Jobs of figures and summaries: which ones a new entry, a changed one and changed code add."""

from pathlib import Path

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from configured import CONFIG
from planning import computing, copy_project, laid_over, plan, pretend_finished, rules
from readme import example


@pytest.fixture
def finished(finished_project) -> Path:
    return finished_project


def test_a_figure_of_its_own(finished):
    jobs = plan(finished, {"figures": {"perturbations_examples": {"attacks": ["pgd", "roa"]}}})
    assert jobs == {("figure_csv_html", "perturbations_examples"), ("report",)}


def test_a_figure_of_features_adds_its_jobs_only(finished):
    rows = {"No Defense": "standard", "MultiBN": "multibn", "physical": "multibn_manual/physical"}
    new = {"method": "features", "dataset": "synthetic", "attack": "roa", "rows": rows}
    targets = {"standard-s0", "multibn-s0", "multibn_manual-s0-physical"}
    jobs = plan(finished, {"figures": {"stages": new}})
    measured = {("features", "synthetic", target, "roa") for target in targets}
    assert jobs == measured | {("figure_csv", "stages"), ("report",)}  # the sets are those of a study


def test_feature_maps_are_a_job_for_each_row_of_one_stage_and_clip(finished):
    new = {"method": "feature_maps", "dataset": "synthetic", "attack": "roa", "stage": "layer2", "clip": 3}
    jobs = plan(finished, {"figures": {"maps": new | {"rows": {"A": "standard", "B": "multibn_manual/physical"}}}})
    targets = ("standard-s0", "multibn_manual-s0-physical")
    made = {("feature_maps", "synthetic", target, "roa", "layer2", "3") for target in targets}
    assert computing(jobs) == made
    assert rules(jobs) == {"feature_maps", "figure_csv", "report"}


def test_a_masking_sheet_adds_the_sets_that_no_study_has(finished):
    sheet = {
        "method": "masking",
        "dataset": "synthetic",
        "target": "standard",
        "attack": "pgd",
        "transfer": "surrogate",
    }
    unbounded = {"perturbation": {"epsilon": 1.0, "step_size": 1.0, "method": "additive_linf"}}
    attacks = {"unbounded": CONFIG["attacks"]["pgd"] | unbounded}
    figures = {"sheet": sheet | {"bounds": ["pgd", "unbounded"]}}
    jobs = plan(finished, {"attacks": attacks, "figures": figures})
    assert computing(jobs) == {("attack", "synthetic", "standard-s0", "unbounded")}
    assert rules(jobs) == {"attack", "audit_table", "figure_csv", "report"}


STEPS = {"base": "pgd", "sweep": {"steps": [1, 2]}}
SWEPT = {
    "attacks": {"pgd_steps": STEPS},
    "figures": {
        "sweep_steps": {
            "method": "sweep",
            "title": "Iterations",
            "dataset": "synthetic",
            "panels": {"PGD": "pgd_steps"},
            "rows": {"No Defense": "standard", "MultiBN-manual": {"PGD": "multibn_manual/lp"}},
        }
    },
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A finished project with a sweep of an attack's steps."""
    project = copy_project(tmp_path_factory.mktemp("swept"))
    config = laid_over(CONFIG, SWEPT)
    (project / "config/demo.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    pretend_finished(project)
    return project


def test_a_sweep_adds_its_sets_its_figure_and_their_audit(finished):
    jobs = plan(finished, SWEPT)
    sources = ("standard-s0", "multibn_manual-s0-lp")
    assert computing(jobs) == {("attack", "synthetic", s, f"pgd_steps_{n}") for s in sources for n in (1, 2)}
    assert rules(jobs) == {"attack", "figure_csv_html", "audit_table", "report"}


def test_a_new_value_of_a_sweep_adds_its_sets_only(swept):
    jobs = plan(swept, {"attacks": {"pgd_steps": {"sweep": {"steps": [1, 2, 9]}}}})
    sources = ("standard-s0", "multibn_manual-s0-lp")
    assert computing(jobs) == {("attack", "synthetic", source, "pgd_steps_9") for source in sources}
    assert rules(jobs) == {"attack", "figure_csv_html", "audit_table", "report"}


def test_a_sweep_is_its_entries_written_by_hand(swept):
    by_hand = {f"pgd_steps_{n}": CONFIG["attacks"]["pgd"] | {"steps": n} for n in (1, 2)}
    columns = {"one": "pgd_steps_1", "two": "pgd_steps_2"}  # of the row that has one target for all columns
    jobs = plan(
        swept,
        {
            "attacks": {"pgd_steps": None} | by_hand,
            "figures": {"sweep_steps": None},
            "studies": {"multav": {"columns": columns}},
        },
    )
    assert computing(jobs) == set()
    assert ("table", "multav") in jobs


@pytest.mark.parametrize(
    ("kind", "old", "new", "redrawn"),
    [
        ("iterations", "0.065 * len", "0.07 * len", {("figure_csv_html", "iterations_pgd")}),
        ("perturbations", "FRAMES_PER_SECOND = 5", "FRAMES_PER_SECOND = 6", {"examples", "multav", "shapes"}),
        ("masking", "[1] * len(sizes)", "[2] * len(sizes)", {("figure_csv", "masking_shapes")}),
    ],
)
def test_changed_code_of_a_kind_redraws_its_own_figures(finished, edit, kind, old, new, redrawn):
    edit(f"pipeline_lib/reporting/figures/{kind}.py", old, new)
    if kind == "perturbations":
        redrawn = {("figure_csv_html", f"perturbations_{name}") for name in redrawn}
    assert plan(finished) == redrawn | {("report",)}


EXAMPLE = {
    key: yaml.safe_load(example("yaml", name))[key]
    for key, name in {"figures": "my_figures:Confusion", "studies": "my_summaries:worst"}.items()
}
TEXTS = {"my_figures.py": "class Confusion", "my_summaries.py": "def worst"}


@pytest.fixture
def own(finished, monkeypatch) -> Path:
    """The finished project with the guide's files of the user's own beside its Snakefile."""
    monkeypatch.syspath_prepend(finished)
    for name, text in TEXTS.items():
        (finished / name).write_text(example("python", text))
    yield finished
    for name in TEXTS:
        (finished / name).unlink()


def test_an_own_kind_and_an_own_summary_add_their_jobs_only(own):
    shown = {("figure_csv", "confusion_pgd"), ("table", "multav"), ("figure_csv", "chart_multav")}
    assert plan(own, EXAMPLE) == shown | {("claims",), ("opening",), ("report",), ("summary",)}


def test_an_own_kind_makes_the_cells_that_it_needs(own):
    entry = EXAMPLE["figures"]["confusion_pgd"] | {"attack": "multav_af"}
    jobs = plan(own, {"figures": {"confusion": entry}})
    assert computing(jobs) == {("attack", "synthetic", "avg-s0", "multav_af")}
    assert rules(jobs) == {"attack", "figure_csv", "audit_table", "report"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"figures": {"mine": EXAMPLE["figures"]["confusion_pgd"] | {"model": "avgg"}}},
            "figures.mine.model: unknown model 'avgg'",
        ),
        (
            {"studies": {"multav": {"summaries": ["my_summaries:wurst"]}}},
            r"multav\.summaries\[0\]: .*my_summaries.py has no function 'wurst'",
        ),
    ],
)
def test_mistakes_stop_before_any_job(own, changes, message):
    with pytest.raises(WorkflowError, match=message):
        plan(own, changes)
