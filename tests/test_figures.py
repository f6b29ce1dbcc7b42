"""Figures: what is drawn, that all of it is visible, and that the bytes repeat."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline_lib.reporting.difference import magnified_difference
from pipeline_lib.reporting.figures.chart import draw_table
from pipeline_lib.reporting.figures.features import Features, draw_features
from pipeline_lib.reporting.figures.iterations import Iterations, draw_iterations
from pipeline_lib.reporting.figures.masking import draw_masking
from pipeline_lib.reporting.figures.perturbations import draw_perturbations, draw_row
from pipeline_lib.reporting.figures.sweep import build_sweeps, draw_sweeps
from pipeline_lib.reporting.figures.training_curves import TrainingCurves, draw_training, in_lines
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.style import PAGE, STYLE, line_styles, write_figure
from test_gallery import clips

MODULES = ("reporting.metrics", "reporting.tables", "reporting.audits", "reporting.style", "reporting.gallery")


def examples() -> list[tuple[str, np.ndarray, np.ndarray]]:
    return [("Adversarial framing\nHandstandPushups \u2192 JumpingJack", *clips()), ("PGD <&>", *clips(15))]


def curves() -> list[tuple[str, pd.DataFrame]]:
    steps = np.array([0, 1, 2, 3, 5, 10, 20, 50])
    table = pd.DataFrame({"step": steps, "accuracy": 90 / (1 + steps), "loss": np.log1p(steps)})
    return [("No Defense", table), ("MultiBN-manual with a long name", table.assign(accuracy=50.0))]


def feature_curves() -> list[tuple[str, pd.DataFrame]]:
    stages = ["stem", "layer1", "layer2", "layer3", "layer4"]
    table = pd.DataFrame({"stage": stages, "mean_square_difference": [0.01, 0.02, 0.1, 0.4, 3.0]})
    return [(label, table.assign(relative=[0.1, 0.1, 0.3, 0.4, 2.0])) for label in ("Halftone, ST", "No Defense")]


def histories() -> list[tuple[str, pd.DataFrame]]:
    epochs = np.arange(1, 5)
    table = pd.DataFrame({"epoch": epochs, "loss": 2 / epochs, "accuracy": 20.0 * epochs, "learning_rate": 0.1})
    return [(f"model_{index}", table) for index in range(20)]


def table() -> pd.DataFrame:
    names = ["clean", "multav_linf", "roa", "af", "spa", "mean", "union"]
    records = []
    for height, row in enumerate(["No Defense", "AT-PGD", "R3D18+3DDenoise Mult", "MultiBN-manual"]):
        for place, column in enumerate(names):
            measured = 100.0 * (height + place) / 9
            low, high = wilson(measured, 300)
            records.append(("study", row, column, measured, low, high, 300, "0", 50.0, measured - 50))
    columns = ["table", "row", "column", "measured", "low", "high", "n", "seeds", "paper", "difference"]
    filled = pd.DataFrame(records, columns=columns)
    filled.loc[3, ["measured", "low", "high", "difference"]] = np.nan
    highest = filled.groupby("column")["measured"].transform("max")
    return filled.assign(sd=np.nan, flag="", best=filled["measured"] == highest)


VALUES = {
    "PGD": ("perturbation.epsilon", ["2/255", "4/255", "8/255", "16/255"], [2 / 255, 4 / 255, 8 / 255, 16 / 255]),
    "ROA": ("region.width", ["20", "30", "45", "60"], [20.0, 30.0, 45.0, 60.0]),
    "adaptive": ("loss.weight", ["0", "0.1", "0.5", "1", "2", "5", "10"], [0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0]),
    "SPA": ("steps", ["1", "3", "5", "10", "20", "50"], [1.0, 3.0, 5.0, 10.0, 20.0, 50.0]),
    "one value": ("keep", ["last"], [0.0]),
}


def swept() -> pd.DataFrame:
    records = [
        (panel, key, row, value, position, 90.0 - place, 80.0 - place, 95.0, 300, "0")
        for panel, (key, values, positions) in VALUES.items()
        for row in ("No Defense", "MultiBN-manual with a long name")
        for place, (value, position) in enumerate(zip(values, positions, strict=True))
    ]
    names = ["panel", "key", "row", "value", "position", "measured", "low", "high", "n", "seeds"]
    return pd.DataFrame(records, columns=names)


def sheet(parts: int) -> pd.DataFrame:
    """A masking sheet with all signs, or its first parts."""
    forms = {"clean": 100.0, "without_bpda": 90.0, "white_box": 60.0, "eot": 40.0, "transfer": 10.0}
    rows = [(part, None, percent) for part, percent in forms.items()]
    rows += [("bound", value, percent) for value, percent in ((2 / 255, 5.0), (8 / 255, 90.0), (1.0, 30.0))]
    rows += [("steps", float(10**i), 20.0 + 20 * i) for i in range(4)]
    table = pd.DataFrame(rows, columns=["part", "value", "measured"]).assign(zero_gradients=0.5)
    table[["low", "high"]] = [wilson(percent, 300) for percent in table["measured"]]
    return table[:parts]


FIGURES: dict[str, Callable[[], Figure]] = {
    "perturbations": lambda: draw_perturbations(examples()),
    "a row of perturbations": lambda: draw_row(examples() * 4),
    "iterations": lambda: draw_iterations(curves(), 300),
    "sweeps": lambda: draw_sweeps(swept(), "Bounds of four attacks and lambda"),
    "training": lambda: draw_training(histories()),
    "features": lambda: draw_features(feature_curves()),
    "masking": lambda: draw_masking(sheet(12), "Halftone, adversarially trained"),
    "masking without steps": lambda: draw_masking(sheet(8), "Halftone"),
    "table": lambda: draw_table(table(), "A study", "A note that is long enough to need more than one line. " * 4),
    "map": lambda: draw_table(
        many(30, 60), "A large study", "A note that is long enough to need more than one line. " * 4
    ),
    "narrow": lambda: draw_table(table().query("column == 'clean'"), note="Orientation only. " * 9),
}


def many(rows: int, columns: int) -> pd.DataFrame:
    """A table of many cells; the first has no number."""
    labels = [
        (f"Model number {row}, with a long name", f"attack_{column}")
        for row in range(rows)
        for column in range(columns)
    ]
    cells = pd.DataFrame(labels, columns=["row", "column"]).assign(
        table="many", measured=np.linspace(0, 100, len(labels))
    )
    cells.loc[0, "measured"] = np.nan
    return cells


@cache
def drawn(name: str, inches: float = PAGE) -> Figure:
    with rc_context(STYLE | {"figure.figsize": (inches, 3)}):
        figure = FIGURES[name]()
        figure.draw_without_rendering()
    return figure


@cache
def texts_of(figure: Figure) -> list[Text]:
    """The texts that are really drawn: a tick outside of its axis has a label too."""
    seen: list[Text] = []
    draw = Text.draw

    def record(text: Text, renderer: Any) -> None:
        seen.extend([text] if text.get_text() and text.get_visible() else [])
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.draw_without_rendering()
    return seen


WIDTHS = pytest.mark.parametrize("inches", [PAGE, 3.4], ids=["page", "column"])


@WIDTHS
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_clipped(name: str, inches: float) -> None:
    figure = drawn(name, inches)
    page = figure.bbox.padded(0.5)
    for text in texts_of(figure):
        box = text.get_window_extent()
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()


@WIDTHS
@pytest.mark.parametrize("name", FIGURES)
def test_no_texts_overlap(name: str, inches: float) -> None:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(drawn(name, inches))]
    for index, (first, box) in enumerate(boxes):
        for second, other in boxes[index + 1 :]:
            assert not box.padded(-0.5).overlaps(other.padded(-0.5)), (first, second)


class Drawn:
    """A figure of the configuration, as far as it is written."""

    def __init__(self, name: str) -> None:
        self.name = name

    def draw(self, files: object) -> Figure:
        return FIGURES[self.name]()

    def numbers(self, files: object) -> pd.DataFrame:
        return pd.DataFrame({"row": [files]})

    def page(self, files: object) -> str:
        return f"<p>{files}</p>"


def written(name: str, stem: Path, *endings: str) -> dict[str, Path]:
    paths = {ending: stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "pdf", *endings)}
    write_figure(Drawn(name), "nothing", {ending: str(path) for ending, path in paths.items()})
    return paths


@pytest.mark.parametrize("name", ["perturbations", "iterations", "sweeps", "features", "masking", "narrow"])
def test_figures_repeat_byte_for_byte_and_hold_no_date(name: str, tmp_path: Path) -> None:
    first, second = (written(name, tmp_path / stem) for stem in ("first.v1", "second.v1"))
    for suffix in ("png", "pdf"):
        data = first[suffix].read_bytes()
        assert data == second[suffix].read_bytes()
        assert not re.search(rb"CreationDate|ModDate|D:20\d\d|tEXt|tIME", data)


def test_numbers_and_a_page_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    paths = written("narrow", tmp_path / "figure", "csv", "html")
    assert (paths["csv"].read_bytes(), paths["html"].read_text()) == (b"row\nnothing\n", "<p>nothing</p>")
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())


def test_perturbation_figure_shows_the_middle_frames() -> None:
    _, clean, adversarial = examples()[0]
    shown = [np.asarray(panel.images[0].get_array()) for panel in drawn("perturbations").axes[:3]]
    assert (shown[0] == clean[2]).all()
    assert (shown[1] == adversarial[2]).all()
    assert (shown[2] == magnified_difference(clean[2], adversarial[2])).all()
    words = {text.get_text() for text in texts_of(drawn("perturbations"))}
    assert {"Adversarial framing", "HandstandPushups \u2192\nJumpingJack", "PGD <&>"} <= words
    assert "at most 4/255, 100 % of the pixels" in {" ".join(word.split()) for word in words}


def test_iterations_figure_draws_the_curve_inside_its_wilson_band() -> None:
    accuracy, loss, *_ = drawn("iterations").axes
    first = curves()[0][1]
    np.testing.assert_array_equal(accuracy.lines[0].get_xydata(), first[["step", "accuracy"]])
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), first[["step", "loss"]])
    band = accuracy.collections[0].get_paths()[0].vertices
    for step, percent in zip(first["step"], first["accuracy"], strict=True):
        at_step = np.asarray(band)[np.asarray(band)[:, 0] == step, 1]
        assert (at_step.min(), at_step.max()) == pytest.approx(wilson(percent, 300))


def test_sweeps_have_a_panel_for_each_attack_and_ticks_as_written() -> None:
    panels = [axes for axes in drawn("sweeps").axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == list(VALUES)
    assert [axes.get_xlabel() for axes in panels] == ["epsilon", "width", "weight", "steps", "keep"]
    bounds = panels[0]
    assert list(bounds.lines[1].get_xdata()) == VALUES["PGD"][2]
    assert list(bounds.lines[1].get_ydata()) == [90, 89, 88, 87]
    assert bounds.xaxis.get_major_formatter().format_ticks([0]) == ["16/255"]
    assert bounds.get_ylim() == (0, 100)


def test_sweeps_are_accuracies_of_predictions_with_their_interval(tmp_path: Path) -> None:
    for seed, predictions in enumerate(([1, 1, 0, 0], [1, 1, 1, 0])):
        frame = pd.DataFrame({"video": list("abcd"), "label": 1, "prediction": predictions, "loss": 0.1})
        frame.to_csv(tmp_path / f"{seed}.csv", index=False)
    curve = {"seeds": [0, 1], "cells": [[str(tmp_path / "0.csv"), str(tmp_path / "1.csv")]]}
    panel = {"key": "steps", "values": ["5"], "positions": [5.0], "rows": {"A": curve}}
    table = build_sweeps({"PGD": panel})
    (record,) = table.to_dict("records")
    assert (record["panel"], record["row"], record["value"], record["seeds"]) == ("PGD", "A", "5", "0 1")
    assert record["measured"] == 62.5
    assert (record["low"], record["high"]) == (wilson(50, 4)[0], wilson(75, 4)[1])


def test_iterations_axis_starts_at_the_first_step_and_keeps_the_last_tick() -> None:
    accuracy = drawn("iterations").axes[0]
    assert accuracy.get_xlim() == (0, 50)
    assert {0, 1, 50} <= set(accuracy.get_xticks())


def test_no_two_line_styles_are_alike_and_too_many_curves_are_an_error() -> None:
    with rc_context(STYLE):
        styles = [repr(sorted(style.items())) for style in line_styles(147)]
    assert len(set(styles)) == 147
    with rc_context(STYLE), pytest.raises(ValueError, match="148 curves in one panel, and 147 different styles"):
        line_styles(148)


def test_seeds_of_a_model_share_its_panel_and_long_names_break_after_underscores(tmp_path) -> None:
    files = {f"{model}-s{seed}": tmp_path / f"{model}{seed}.csv" for model in ("at_pgd", "avg") for seed in (0, 1, 2)}
    for seed, path in enumerate(files.values()):
        histories()[0][1].assign(accuracy=10.0 * seed).to_csv(path, index=False)
    with rc_context(STYLE):
        figure = TrainingCurves(dataset="d", models=list(files)).draw(files)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert [[line.get_ydata()[0] for line in axes.lines] for axes in panels.values()] == [[0, 10, 20], [30, 40, 50]]
    assert list(panels) == ["at_pgd", "avg"]
    assert in_lines("denoise_2d_at_multav_linf") == "denoise_2d_at_\nmultav_linf"
    assert in_lines("No Defense") == "No Defense"


def test_each_model_has_a_panel_with_its_own_curves_and_validation_beside_training() -> None:
    curves = [(name, one.assign(selection_accuracy=one["accuracy"] - 10)) for name, one in histories()[:7]]
    with rc_context(STYLE):
        figure = draw_training(curves, "ucf101")
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [name for name, _ in curves]
    for panel, (_, curve) in zip(panels, curves, strict=True):
        training, validation = panel.lines
        assert list(training.get_ydata()) == list(curve["accuracy"])
        assert list(validation.get_ydata()) == list(curve["selection_accuracy"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("training accuracy", "validation accuracy", "training loss (right axis)")
    ]


@WIDTHS
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_as_wide_as_the_style_with_text_of_a_paper(name: str, inches: float) -> None:
    figure = drawn(name, inches)
    assert figure.get_figwidth() == inches
    assert all(8 <= text.get_fontsize() <= 9 for text in texts_of(figure))


def test_the_chart_of_selections_is_not_one_of_accuracies() -> None:
    words = draw_table(table(), "Selections", quantity="selections of the correct branch (%)").get_suptitle()
    assert words == "Selections: selections of the correct branch (%)"


def test_the_numbers_behind_curves_are_a_table(tmp_path: Path) -> None:
    paths = {}
    for name, history in histories()[:2]:
        paths[name] = tmp_path / f"{name}.csv"
        history.to_csv(paths[name], index=False)
    found = TrainingCurves(dataset="d", models=list(paths)).numbers(paths)
    assert found["model"].tolist() == ["model_0"] * 4 + ["model_1"] * 4
    assert found["accuracy"].tolist() == [20, 40, 60, 80] * 2
    stages = Features(dataset="d", attack="a", rows={}).numbers(paths)
    assert stages["row"].tolist() == found["model"].tolist()
    traces = Iterations(dataset="d", attack="a", rows={}).numbers({"traces": paths})
    assert traces[["row", "accuracy"]].equals(stages[["row", "accuracy"]])


def test_table_figure_prints_every_measured_value_and_draws_every_interval() -> None:
    figure, cells = drawn("table"), table()
    for panel, (_, column) in zip(figure.axes, cells.groupby("column", sort=False), strict=True):
        numbers = [text.get_text() for text in panel.texts]
        assert numbers == ["\u2013" if np.isnan(value) else f"{value:.1f}" for value in column["measured"]]
        intervals = [line.get_xdata() for line in panel.lines if len(np.atleast_1d(line.get_xdata())) == 2]
        np.testing.assert_array_equal(intervals, column[["low", "high"]].to_numpy())
        best = [text.get_text() for text in panel.texts if text.get_fontweight() == "bold"]
        assert best == [f"{column['measured'].max():.1f}"]


def test_a_table_of_many_cells_is_a_map_of_its_numbers_of_limited_size() -> None:
    figure, cells = drawn("map"), many(30, 60)
    panel = figure.axes[0]
    shown = panel.images[0].get_array()
    np.testing.assert_array_equal(shown.filled(np.nan), cells["measured"].to_numpy().reshape(30, 60))
    assert panel.images[0].get_clim() == (0, 100)
    assert [tick.get_text() for tick in panel.get_xticklabels()][:2] == ["attack 0", "attack 2"]
    assert list(panel.get_xticks())[:2] == [0, 2]
    assert len(panel.get_yticklabels()) == 30
    assert draw_table(many(1000, 3)).get_figheight() < 13


@WIDTHS
def test_a_number_of_a_table_figure_covers_no_mark_even_at_100_percent(inches: float) -> None:
    figure = drawn("table", inches)
    assert {text.get_text() for panel in figure.axes for text in panel.texts} >= {"100.0"}
    for panel in figure.axes:
        last = panel.transData.transform((100, 0))[0] + 2 * figure.dpi / 72  # a mark is 4 points wide
        assert all(text.get_window_extent().x0 > last for text in panel.texts)


def test_numbers_that_an_audit_denies_or_a_constant_answer_reaches_are_marked_in_the_chart() -> None:
    cells = table().query("column == 'clean'").assign(faults=["", "masked gradient", "", ""], best=False)
    cells["flag"] = ["not above a constant answer", *[""] * 3]
    (panel,) = draw_table(cells).axes
    marked = [text.get_text() for text in panel.texts]
    assert marked[:2] == [f"{cells['measured'].iloc[0]:.1f}\u2021", f"{cells['measured'].iloc[1]:.1f}\u2020"]
    assert not any(text.get_fontweight() == "bold" for text in panel.texts)


def test_nothing_here_loads_torch() -> None:
    lines = [f"import pipeline_lib.{module}" for module in MODULES]
    code = "\n".join(["import sys", *lines, "sys.exit('torch' in sys.modules)"])
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_without_an_epoch_has_no_curve_and_leaves_the_others_as_they_are():
    """One that takes its weights over."""
    untrained = ("untrained", histories()[0][1].iloc[:0])
    with_it, without = (draw_training([*histories(), *more]) for more in ([untrained], []))
    for figure in (with_it, without):
        figure.canvas.draw()
    assert [len(panel.lines) for panel in with_it.axes] == [len(panel.lines) for panel in without.axes]
    positions = [[panel.get_position().bounds for panel in figure.axes] for figure in (with_it, without)]
    assert positions[0] == positions[1]
