"""Entries of figures: which files of which cells a figure is drawn from, and a user's own kind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from configured import CONFIG, resolved
from own_files import forget
from pipeline_lib.configuration.figures import figure_files, figure_inputs, resolve_figures
from pipeline_lib.configuration.files import Cell
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.configuration.sweeps import Sweep
from pipeline_lib.entries.building import build
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.style import write_figure
from readme import example
from test_config import changed
from test_studies import PLAN

SWEEPS = {"pgd_steps": Sweep("steps", {"pgd": 1, "roa": "5/2"})}
SWEEP = {"method": "sweep", "title": "T", "dataset": "d", "panels": {"PGD": "pgd_steps"}, "rows": {"Plain": "plain"}}
MAPS = {"method": "feature_maps", "dataset": "d", "attack": "pgd", "rows": {"R": "plain"}, "stage": "layer1"}
PATHS = Paths("r")


def cell(target: str, attack: str, source: str) -> Cell:
    return Cell("d", target, attack, source)


def plan_of(entry: dict) -> dict:
    plan = PLAN | {"studies": {}}
    return plan | {"figures": resolve_figures({"figures": {"f": entry}}, SWEEPS, plan)}


def needs_of(entry: dict) -> dict:
    return plan_of(entry)["figures"]["f"]["needs"]


def test_panels_of_a_sweep_hold_the_predictions_of_each_value():
    panel = needs_of(SWEEP | {"rows": {"Plain": "plain", "Manual": {"PGD": "manual/lp"}}})["PGD"]
    assert (panel["key"], panel["values"], panel["positions"]) == ("steps", ["1", "5/2"], [1, 2.5])
    assert panel["rows"]["Plain"]["seeds"] == [0, 1]
    assert panel["rows"]["Plain"]["cells"][1] == [cell(f"plain-s{s}", "roa", f"plain-s{s}").predictions for s in (0, 1)]
    assert panel["rows"]["Manual"]["cells"][0][0] == cell("manual-s0-lp", "pgd", "manual-s0-lp").predictions


def test_a_swept_transfer():
    rows = {"A": "plain", "B": {"target": "plain", "source": "manual/lp"}}
    curves = needs_of(SWEEP | {"rows": rows, "source": "soft"})["PGD"]["rows"]
    assert curves["A"]["cells"][0][0] == cell("plain-s0", "pgd", "soft-s0").predictions
    assert curves["B"]["cells"][0][0] == cell("plain-s0", "pgd", "manual-s0-lp").predictions


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (SWEEP | {"panels": {"PGD": "pgd"}}, "figures.f.panels.PGD: unknown sweep 'pgd'; known: pgd_steps"),
        (
            SWEEP | {"rows": {"R": {"target": "plain", "attack": "pgd"}}},
            "f.rows.R.attack: the panels already name the attacks",
        ),
        (SWEEP | {"rows": {"R": {"ROA": "plain"}}}, "f.rows.R.ROA: unknown column 'ROA'; known: PGD"),
        (SWEEP | {"rows": {"R": 3}}, "f.rows.R: expected a target, or a target for each column, got 3"),
        (SWEEP | {"rows": {}}, "figures.f.rows: has 0 entries, and needs at least 1"),
        (SWEEP | {"dataset": "x"}, "figures.f.dataset: unknown dataset 'x'; known: d"),
        ({"method": "iterations", "dataset": "d", "attack": "x", "rows": {"R": "plain"}}, "f.attack: unknown attack"),
        (MAPS | {"clip": -1}, "figures.f.clip: -1 is below 0"),
        (MAPS | {"channels": [0, -1]}, "figures.f.channels: -1 is below 0, the first channel"),
        (MAPS | {"attack": "x"}, "figures.f.attack: unknown attack 'x'"),
        ({"method": "features", "dataset": "d", "attack": "clean", "rows": {"R": "plain"}}, "f.attack: unknown attack"),
        (
            {"method": "perturbations", "dataset": "d", "source": "plain", "attacks": ["pgd", "x"]},
            "figures.f.attacks[1]: unknown attack 'x'",
        ),
        ({"method": "training_curves", "dataset": "d", "models": ["plain"]}, "f.models[0]: unknown model 'plain'"),
        (
            {"method": "linspace", "frames": 4},
            "class Linspace has no caption, dataset, draw, needs, which a FigureKind (p",
        ),
    ],
)
def test_errors_name_the_key(entry, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        needs_of(entry)


def test_a_chart_and_training_curves_are_made_by_themselves_under_names_of_their_own():
    figures = resolved(CONFIG)["figures"]
    assert {f"chart_{name}" for name in CONFIG["studies"]} | {"training_shapes", "training_synthetic"} < set(figures)
    row = figures["chart_multibn_black_box"]["needs"]["rows"][0]
    assert not any(row["audits"].values())  # the sets are not made on the targets
    (source,) = row["source_audits"]["pgd"]
    assert source.arguments == ("synthetic", "surrogate-s0", "pgd", "audit.csv")
    with pytest.raises(PipelineError, match=r"figures\.chart_multav: this name belongs to a figure that is made"):
        resolved(changed("figures.chart_multav", CONFIG["figures"]["iterations_pgd"]))


def test_rows_keep_the_order_in_which_they_are_written():
    files = figure_files(resolved(CONFIG), PATHS, "features_halftone")
    assert list(files) == list(CONFIG["figures"]["features_halftone"]["rows"])
    assert files["Vanilla ST"] == "r/shapes/features/shapes-s0/pgd.csv"


OWN = example("python", "class Confusion")
ENTRY = {"method": "my_figures:Confusion", "dataset": "d", "model": "wrapped", "attack": "pgd"}


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Path:
    """A working folder with the user's file."""
    (tmp_path / "my_figures.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_figures", raising=False)
    forget()
    return tmp_path


def test_an_own_kind_is_drawn_from_the_files_that_it_asks_for(beside):
    plan = plan_of(ENTRY)
    path = "d/predictions/wrapped-s0/wrapped-s0/pgd.csv"
    assert figure_inputs(plan, PATHS, "f") == [f"r/{path}"]
    (beside / path).parent.mkdir(parents=True)
    pd.DataFrame({"label": [0, 0, 1], "prediction": [0, 1, 1]}).to_csv(beside / path)
    figure = plan["figures"]["f"]
    assert figure["endings"] == ["png", "pdf", "csv"]
    files = figure_files(plan, Paths(str(beside)), "f")
    write_figure(build(figure["entry"]), files, {ending: f"out.{ending}" for ending in figure["endings"]})
    assert (beside / "out.csv").read_text() == "label,0,1\n0,1,1\n1,0,1\n"
    assert (beside / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (beside / "out.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modell": "plain"}, "figures.f.modell: unknown key; known: attack, dataset, model"),
        ({"model": "rapped"}, "figures.f.model: unknown model 'rapped'"),
        ({"attack": "pdg"}, "figures.f.model: unknown attack 'pdg'"),
        ({"attack": 3}, "figures.f.attack: expected a text, got 3"),
        ({"method": "my_figures:Confused"}, "my_figures.py has no class 'Confused'"),
    ],
)
def test_mistakes_in_the_entry_of_an_own_kind_are_named(beside, changes, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        plan_of(ENTRY | changes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def draw", "def drew", "class Confusion has no draw, which a FigureKind (pipeline_lib.con"),
        ('caption: ClassVar[str] = "', 'words: ClassVar[str] = "', "class Confusion has no caption, which"),
        ("cell.predictions for", "cell for", "class Confusion returns Cell(dataset='d', target='wrapped-s0'"),
        ("return {", "return {} and {", "class Confusion names no file in needs()"),
        ("plan.cells", "plan.cell", "class Confusion fails in needs(): AttributeError"),
        ("from typing import ClassVar", "from typing import ClassWar", "class Confusion cannot be built: ImportError"),
    ],
)
def test_mistakes_in_the_class_of_an_own_kind_are_named_with_its_file(beside, old, new, message):
    text = (beside / "my_figures.py").read_text()
    assert old in text
    (beside / "my_figures.py").write_text(text.replace(old, new))
    forget()
    expected = f"config: figures.f.method: {beside / 'my_figures.py'}: {message}"
    with pytest.raises(PipelineError, match=re.escape(expected)):
        plan_of(ENTRY)


def test_planning_figures_loads_nothing_that_draws_or_calculates():
    kinds = sorted({target.partition(":")[0] for target in METHODS.values() if ".reporting." in target})
    assert len(kinds) == 8
    lines = [*(f"import {kind}" for kind in kinds), "from configured import CONFIG, resolved", "resolved(CONFIG)"]
    heavy = "sys.exit(bool({'numpy', 'pandas', 'matplotlib', 'torch'} & sys.modules.keys()))"
    code = "\n".join(["import sys", *lines, heavy])
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
