"""What a constant answer gets, and the marks of numbers that are not above it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline_lib.reporting.chance import (
    CONSTANT_MARK,
    NOT_ABOVE_CONSTANT,
    Chance,
    chance_note,
    chance_notes,
    chance_of,
    flags,
)
from pipeline_lib.reporting.column_means import correlations_of, mean_of_columns
from pipeline_lib.reporting.metrics import Cell, envelope, estimate, wilson
from pipeline_lib.reporting.tables import build_table
from test_tables import PAPER, Cells, cell_of, layout_of, written


def test_a_constant_answer_gets_the_most_frequent_label() -> None:
    chance = chance_of(pd.Series([3, 3, 3, 7, 7, 0]))
    assert (chance.constant, chance.guess, chance.classes) == (50, pytest.approx(100 / 3), 3)


def test_a_number_is_flagged_unless_its_interval_lies_above() -> None:
    chance = chance_of(pd.Series([0, 1] * 50))
    above, touching = (envelope([estimate(percent, 100)]) for percent in (80, 55))
    assert flags({"clean": above, "pgd": touching}, {"clean"}, chance) == {
        "clean": "",
        "pgd": "not above a constant answer",
    }
    found = flags({"clean": touching, "pgd": above}, {"clean"}, chance)
    assert found == {
        "clean": "not above a constant answer, model has learned nothing",
        "pgd": "model has learned nothing",
    }
    assert flags({"clean": touching}, set(), chance) == {"clean": "not above a constant answer"}


@pytest.fixture
def layout(tmp_path: Path) -> dict:
    """Two classes. A sound model, one that is attacked down to chance, and one that answers at random everywhere."""
    right, chance = "1110" * 25, "10" * 50
    rows = {"Sound": {"clean": [right], "pgd": ["1" * 100]}, "Weak one": {"clean": [right], "pgd": [chance]}}
    rows |= {"At random": {"clean": [chance], "pgd": ["01" * 50]}}
    found = layout_of(tmp_path, rows)
    for path in tmp_path.glob("*.csv"):
        table = pd.read_csv(path)
        right = table["label"] == table["prediction"]
        label = (table.index // 4 + table.index // 50) % 2
        table.assign(label=label, prediction=np.where(right, label, 1 - label)).to_csv(path, index=False)
    for row in found["rows"]:
        row["entries"] = {column: [{"attack": column, "target": "m", "source": "m"}] for column in ("clean", "pgd")}
    return found


def test_robust_at_random_is_marked_and_never_bold(layout, tmp_path: Path) -> None:
    table = build_table(layout, PAPER)
    assert (table["constant"] == 50).all()
    assert (table["chance"] == 50).all()
    assert cell_of(table, "Weak one", "pgd")["flag"] == "not above a constant answer"
    assert cell_of(table, "Weak one", "mean")["flag"] == ""
    assert table[table["row"] == "At random"]["flag"].str.endswith("model has learned nothing").all()
    assert not table["best"][table["flag"] != ""].any()
    texts = written(tmp_path / "out", layout)
    for text in (texts["markdown"], texts["latex"], texts["html"]):
        assert "At random §" in text
        assert "Sound §" not in text
        assert "50.0‡ " in text.replace("<", " ")
        assert "a constant answer gets 50.0" in text
        assert "‡ Not above a constant answer: the interval does not lie above 50.0" in text
        assert "§ The model has learned nothing" in text
    parser = Cells()
    parser.feed(texts["html"])
    assert parser.bold == ["75.0", "100.0", "87.5", "75.0", "75.0"]  # the clean accuracies are equal


def test_the_highest_of_numbers_that_are_all_at_chance_is_not_bold(layout) -> None:
    layout["rows"] = layout["rows"][1:]
    table = build_table(layout, PAPER)
    assert not table["best"][table["column"] == "pgd"].any()


def test_selections_have_no_chance(layout) -> None:
    for path in (path for row in layout["rows"] for paths in row["cells"].values() for path in paths):
        pd.read_csv(path).assign(selected="lp").to_csv(path, index=False)
    table = build_table(layout | {"types": {"clean": "lp", "pgd": "lp"}}, PAPER)
    assert table["constant"].isna().all()
    assert (table["flag"] == "").all()


def columns(*marks: str) -> pd.DataFrame:
    return pd.DataFrame({index: [mark == "1" for mark in column] for index, column in enumerate(marks)})


def test_a_mean_of_one_column_or_of_equal_ones_has_its_wilson_interval() -> None:
    for correct in (columns("1101000"), columns("1101000", "1101000", "1101000")):
        found = mean_of_columns(correct)
        assert (found.low, found.high) == pytest.approx(wilson(300 / 7, 7))


def test_the_interval_of_a_mean_may_be_narrower_than_a_point() -> None:
    found, (low, high) = mean_of_columns(columns("1" * 999 + "0")), wilson(99.9, 1000)
    assert high - 99.9 < 99.9 - low < 1
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_mean_of_uncorrelated_columns_is_narrower_by_the_root_of_their_number() -> None:
    found, (low, high) = mean_of_columns(columns("1100" * 9, "1010" * 9)), wilson(50, 36)
    assert (found.low, found.high) == pytest.approx((50 - (50 - low) / 2**0.5, 50 + (high - 50) / 2**0.5))


def test_constant_columns_have_a_width_and_stay_within_the_percentages() -> None:
    found = mean_of_columns(columns("1111", "0000"))
    (low, _), (_, high) = wilson(100, 4), wilson(0, 4)
    assert (found.low, found.high) == pytest.approx(((100 + 0 - (100 - low)) / 2, 50 + high / 2))
    for clips in (3, 4, 10):  # without a limit, rounding goes below 0 for 3, and above 100 for 10
        assert mean_of_columns(columns("1" * clips, "1" * clips)).high == 100
        assert mean_of_columns(columns("0" * clips, "0" * clips)).low == 0


def test_means_of_dependent_columns_cover_in_93_to_97_percent() -> None:
    generator, rates = np.random.default_rng(2), np.array([0.9, 0.5, 0.3, 0.2, 0.1])
    draws = generator.random((1000, 108, 1)) * 0.6 + generator.random((1000, 108, 5)) * 0.4
    limits = np.quantile(draws.reshape(-1, 5), rates, axis=0).diagonal()
    found = [mean_of_columns(pd.DataFrame(sample < limits)) for sample in draws]
    covered = np.mean([one.low <= 100 * rates.mean() <= one.high for one in found])
    assert 0.93 <= covered <= 0.97
    assert np.mean([one.high - one.low for one in found]) < 0.85 * np.diff(wilson(40, 108))


def test_one_number_is_enough_to_state_what_a_constant_answer_gets() -> None:
    given = pd.DataFrame({"constant": [np.nan, 25.0], "chance": [np.nan, 12.5], "flag": ["", NOT_ABOVE_CONSTANT]})
    assert chance_notes(given) == [
        "On these clips a constant answer gets 25.0 %, guessing 12.5 %.",
        f"{CONSTANT_MARK} Not above a constant answer: the interval does not lie above 25.0 %.",
    ]
    assert chance_note(given) == (
        "On these clips a constant answer gets 25.0 %, guessing 12.5 %. "
        f"{CONSTANT_MARK} Not above a constant answer: the interval does not lie above 25.0 %."
    )
    assert chance_notes(given[:1]) == []


def test_correlations_are_those_of_numpy_and_1_for_a_constant_column() -> None:
    values = np.random.default_rng(0).random((30, 3)) + np.array([0.0, 5.0, -2.0])
    np.testing.assert_allclose(correlations_of(values), np.corrcoef(values.T))
    one_wrong = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(correlations_of(one_wrong), [[1, -1 / 3], [-1 / 3, 1]])
    values[:, 1] = 3.0
    assert correlations_of(values)[1].tolist() == [1, 1, 1]
    assert correlations_of(values)[0, 2] == pytest.approx(np.corrcoef(values[:, 0], values[:, 2])[0, 1])


def test_a_limit_at_a_constant_answer_is_not_above_it() -> None:
    at, above = (Cell(measured=60.0, low=low, high=70.0, n=10, seeds=1) for low in (50.0, 50.1))
    found = flags({"at": at, "above": above}, set(), Chance(constant=50.0, guess=50.0, classes=2))
    assert found == {"at": NOT_ABOVE_CONSTANT, "above": ""}
