"""Captions of studies and figures: the settings that they state, from the configuration."""

import copy
import hashlib

import pytest
from matplotlib.figure import Figure
from PIL import Image

from configured import CONFIG, ROOT, resolved
from pipeline_lib.configuration.captions import figure_caption, study_caption
from pipeline_lib.configuration.layouts import Layouts
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.reporting.style import write_figure

PLAN = resolved(CONFIG)
PGD = (
    "pgd (PGD ascent: perturbation additive linf (epsilon 8/255, step size 4/255), steps 3, start uniform noise "
    "(radius 8/255))"
)


def test_a_study_states_data_seeds_attacks_and_models() -> None:
    words = study_caption(PLAN, "multibn_white_box")
    assert words.startswith(f"Data set synthetic, test clips, seed 0. Attacks: {PGD}; roa (")
    assert "pgd_worst (worst case: of pgd, steps 20" in words
    assert (
        "Models: standard (standard; 16 epochs); at_pgd (adversarial training: attack pgd; 8 epochs from standard);"
        in words
    )
    assert "the network of all is resnet 3d: depth 10, width 12" in words
    assert "Trained on: trades (PGD ascent: " in words  # attacks that no column shows


def test_the_figure_of_a_study_states_the_same_behind_its_own_words() -> None:
    own, words = PLAN["figures"]["chart_multav"]["caption"], figure_caption(PLAN, "chart_multav")
    assert words == f"{own} {study_caption(PLAN, 'multav')}"
    assert "Data set synthetic, seed 0. Models: " in figure_caption(PLAN, "training_synthetic")  # nothing is attacked


def test_clips_of_another_model_name_it() -> None:
    assert f"{PGD[:-1]}, made on surrogate)" in study_caption(PLAN, "multibn_black_box")


def test_attacks_that_differ_in_few_numbers_name_these_only() -> None:
    words = figure_caption(PLAN, "masking_shapes")
    assert "pgd_bound_2_255 (as pgd with epsilon 2/255, step size 1/255, radius 2/255)" in words
    assert "pgd_bound_8_255 (as pgd)" in words
    assert "pgd_unbounded (PGD ascent: " in words


def test_weights_of_a_file_have_a_digest(tmp_path) -> None:
    plan = copy.deepcopy(PLAN)
    (tmp_path / "kinetics.pt").write_bytes(b"weights")
    plan["models"]["at_pgd-s0"]["initial"] = {"file": str(tmp_path / "kinetics.pt")}
    digest = hashlib.sha256(b"weights").hexdigest()
    assert f"8 epochs from kinetics.pt, SHA-256 {digest[:12]})" in study_caption(plan, "oudefend")


def test_storage_and_several_seeds_are_stated() -> None:
    plan = resolved(copy.deepcopy(CONFIG) | {"seeds": [0, 3]})
    plan["attacks"]["pgd"]["storage"] = "float32"
    words = study_caption(plan, "oudefend")
    assert words.startswith("Data set synthetic, test clips, seeds 0, 3.")
    assert "(radius 8/255), stored as float32)" in words


def test_layouts_have_them_and_claims_do_not_depend_on_them() -> None:
    layouts = Layouts(PLAN, Paths("out"), "")
    assert layouts.studies["multav"]["settings"] == study_caption(PLAN, "multav")
    for name in ("table", "differences"):
        assert "snakemake.params.layout.settings" in (ROOT / f"workflow/report/{name}.rst").read_text()
    assert not any("settings" in layout for layout in layouts.claimed.values())


class Drawn:
    def draw(self, files):
        figure = Figure()
        figure.subplots().plot([0, 1])
        return figure


@pytest.mark.parametrize("caption", ["Attacks: pgd (epsilon 8/255).", ""])
def test_pictures_carry_their_caption(tmp_path, caption) -> None:
    write_figure(Drawn(), {}, {ending: str(tmp_path / f"f.{ending}") for ending in ("png", "pdf")}, caption)
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.info.get("Description", "") == caption
    assert (b"/Subject" in (tmp_path / "f.pdf").read_bytes()) == bool(caption)
