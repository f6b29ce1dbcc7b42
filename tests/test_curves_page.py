"""The page of curves: its data are the curves', each mark on it is a point, and it is the same for the same curves."""

import json
import re

import numpy as np
import pandas as pd

from pipeline_lib.reporting.curves_page import HINT, Panel, curves_page
from pipeline_lib.reporting.figures.training_curves import TrainingCurves

NAMES = ["AVG", "</script><b>", "\u0639\u0631\u0628\u064a"]


def curve(count: int, scale: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(count), "y": scale * np.arange(count, dtype=float)})


def panels() -> list[Panel]:
    curves = {name: curve(4 + place) for place, name in enumerate(NAMES)}
    curves["AVG"].loc[1, "y"] = np.nan
    loss = Panel(quantity="loss", below="epoch", curves={"AVG": curve(3, 0.1)})
    return [Panel(quantity="accuracy (%)", below="epoch", curves=curves, limits=(0.0, 100.0)), loss]


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="curves">(.*?)</script>', page)[1])


def marks_of(page: str, panel: int, row: int) -> int:
    """The marks in a curve's group, which ends where the next group of the axes begins."""
    group = page.partition(f'<g id="curve-{panel}-{row}">')[2]
    return re.split(r'<g id="(?:curve|patch|line2d|text|axes|matplotlib)', group)[0].count("<use ")


def test_the_data_are_the_points_that_have_a_value() -> None:
    data = data_of(curves_page("Curves", panels()))
    assert data["labels"] == NAMES
    assert data["panels"][0]["points"][0] == [[0.0, 0.0], [2.0, 2.0], [3.0, 3.0]]
    assert [len(points) for points in data["panels"][0]["points"]] == [3, 5, 6]
    assert [len(points) for points in data["panels"][1]["points"]] == [3, 0, 0]


def test_each_point_has_a_mark_in_its_curve() -> None:
    """The script states the values of the k-th point at the k-th mark."""
    page = curves_page("Curves", panels())
    for panel, curves in enumerate(data_of(page)["panels"]):
        assert [marks_of(page, panel, row) for row in range(3)] == [len(points) for points in curves["points"]]


def test_the_same_curves_give_the_same_page_without_a_network() -> None:
    page = curves_page("Curves", panels())
    assert page == curves_page("Curves", panels())
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page) == []
    assert page.count("<button") == len(NAMES)
    assert HINT in page


def test_labels_are_escaped() -> None:
    page = curves_page("Curves", panels())
    assert "<b>" not in page
    assert page.count("</script>") == 2  # the data's and the script's own


def test_without_curves_the_page_says_so() -> None:
    assert "There are no curves." in curves_page("Curves", [Panel(quantity="loss", below="epoch", curves={})])


def test_trainings_have_a_panel_for_each_quantity_that_was_recorded(tmp_path) -> None:
    for name, column in (("a-s0", "accuracy"), ("b-s0", "selection_accuracy")):
        values = {"epoch": [1, 2], "loss": [1.0, 0.5], "accuracy": [10.0, 20.0]} | {column: [30.0, 40.0]}
        pd.DataFrame(values).to_csv(tmp_path / f"{name}.csv", index=False)
    files = {name: str(tmp_path / f"{name}.csv") for name in ("a-s0", "b-s0")}
    data = data_of(TrainingCurves(dataset="clips", models=list(files)).page(files))
    found = {panel["quantity"]: panel["points"] for panel in data["panels"]}
    assert list(found) == ["training accuracy (%)", "validation accuracy (%)", "training loss"]
    assert found["validation accuracy (%)"] == [[], [[1.0, 30.0], [2.0, 40.0]]]
