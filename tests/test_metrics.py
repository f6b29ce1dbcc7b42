"""Accuracies, unions and intervals against closed forms, an independent Wilson interval and simulation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.cells import side_by_side
from pipeline_lib.reporting.metrics import accuracy as estimated_accuracy
from pipeline_lib.reporting.metrics import correct_clips, envelope, estimate, mean, read_predictions, wilson
from pipeline_lib.reporting.summaries import union as union_of


def predictions(correct: str, name: str = "predictions.csv") -> pd.DataFrame:
    """One clip per character: 1 is correct, 0 is wrong."""
    labels = [index % 3 for index in range(len(correct))]
    guesses = [label if mark == "1" else label + 1 for label, mark in zip(labels, correct, strict=True)]
    videos = [f"v{index}" for index in range(len(correct))]
    table = pd.DataFrame({"video": videos, "label": labels, "prediction": guesses, "loss": 0.5})
    table.attrs["path"] = name
    return table


def accuracy(table: pd.DataFrame) -> float:
    return estimated_accuracy(table).percent


def union(columns: list[pd.DataFrame]) -> float:
    return union_of(correct_clips(dict(enumerate(columns)))).percent


def test_accuracy_is_the_percentage_of_clips_that_are_right() -> None:
    assert accuracy(predictions("1100")) == 50.0
    assert accuracy(predictions("111")) == 100.0


def test_accuracy_of_no_clips_is_an_error() -> None:
    with pytest.raises(PipelineError, match=r"empty\.csv: no clips"):
        accuracy(predictions("", "empty.csv"))


def test_union_of_no_clips_is_an_error() -> None:
    with pytest.raises(PipelineError, match=r"empty\.csv: no clips; a summary needs"):
        union([predictions("1"), predictions("", "empty.csv")])


def test_union_counts_the_videos_that_are_right_everywhere() -> None:
    assert union([predictions("1110"), predictions("0111"), predictions("1111")]) == 50.0


def test_union_of_one_is_its_accuracy_and_never_above_any_column() -> None:
    marks = ["".join(row) for row in np.random.default_rng(0).choice(["0", "1"], size=(4, 50))]
    columns = [predictions(row) for row in marks]
    assert union(columns[:1]) == accuracy(columns[0])
    assert union(columns) <= min(map(accuracy, columns))


def test_union_matches_by_video_and_not_by_row() -> None:
    shuffled = predictions("0111").sample(frac=1, random_state=3)
    assert union([predictions("0111"), shuffled]) == 75.0


def test_union_names_the_predictions_that_lack_a_video() -> None:
    short, long = predictions("11", "short.csv"), predictions("111", "long.csv")
    for order in ([short, long], [long, short]):
        with pytest.raises(PipelineError, match=r"short\.csv lacks 1 videos, first v2"):
            union(order)


def test_union_refuses_repeated_videos_and_differing_labels() -> None:
    twice = pd.concat([predictions("11"), predictions("11")])
    with pytest.raises(PipelineError, match="video v0 occurs twice"):
        union([twice])
    with pytest.raises(PipelineError, match="video v0 different labels"):
        union([predictions("11"), predictions("11").assign(label=7)])


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (3, 10), (10, 10), (1853, 3783), (1, 1)])
def test_wilson_agrees_with_scipy(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert wilson(100 * correct / n, n) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)


def test_wilson_at_zero_is_z2_over_n_plus_z2_and_mirrors_at_hundred() -> None:
    z2 = 1.959963984540054**2
    assert wilson(0, 50) == pytest.approx((0, 100 * z2 / (50 + z2)))
    low, high = wilson(30, 50)
    assert wilson(70, 50) == pytest.approx((100 - high, 100 - low))


def test_intervals_never_leave_the_percentages() -> None:
    assert all(
        wilson(percent, n)[0] >= 0 and wilson(percent, n)[1] <= 100 for n in range(1, 500) for percent in (0, 100)
    )


@pytest.mark.parametrize(("percent", "n"), [(101, 5), (-1, 5), (float("nan"), 5), (50, 0)])
def test_wilson_refuses_what_is_no_percentage(percent: float, n: int) -> None:
    with pytest.raises(ValueError, match="wilson needs"):
        wilson(percent, n)


def test_over_seeds_is_the_mean_within_the_envelope() -> None:
    cell = envelope([estimate(40, 100), estimate(60, 100)])
    assert (cell.measured, cell.n, cell.seeds) == (50, 100, 2)
    assert (cell.low, cell.high) == (wilson(40, 100)[0], wilson(60, 100)[1])
    assert envelope([estimate(40, 100)]).low == wilson(40, 100)[0]


def test_the_interval_of_a_mean_of_columns_covers_whatever_their_dependence() -> None:
    generator, n, rates = np.random.default_rng(1), 200, np.array([0.9, 0.3, 0.1])
    for shared in (False, True):
        draws = generator.random((2000, n, 1 if shared else 3)) < rates
        measured = 100 * draws.mean(axis=(1, 2))
        intervals = [wilson(value, n) for value in measured]
        covered = np.mean([low <= 100 * rates.mean() <= high for low, high in intervals])
        assert covered >= 0.95


def test_mean_is_arithmetic_and_needs_a_value() -> None:
    assert mean([78.6, 49.0, 5.0, 0.6, 67.1]) == pytest.approx(40.06)
    with pytest.raises(PipelineError, match="mean of no values"):
        mean([])


def test_read_predictions_keeps_video_names_as_text(tmp_path: Path) -> None:
    path = tmp_path / "clean.csv"
    path.write_text("video,label,prediction,loss\n007,1,1,0.25\nNone,2,0,nan\n")
    table = read_predictions(path)
    assert table["video"].tolist() == ["007", "None"]
    assert table["loss"].isna().tolist() == [False, True]
    assert accuracy(table) == 50.0
    assert table.attrs["path"] == str(path)


def test_a_loss_that_was_not_written_is_missing_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("video,label,prediction,loss\n007,1,1,0.5\n010,2,0,1.5\n")
    assert read_predictions(tmp_path / "numbers.csv")["video"].tolist() == ["007", "010"]
    (tmp_path / "clean.csv").write_text("video,label,prediction,loss\nnan,1,1,\n,2,0,1.5\n")
    table = read_predictions(tmp_path / "clean.csv")
    assert table["video"].tolist() == ["nan", ""]
    assert table["loss"].isna().tolist() == [True, False]
    assert table["loss"].sum() == 1.5


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("video,prediction\na,1\n")
    with pytest.raises(PipelineError, match=r"few\.csv: columns \['label', 'loss'\] are missing"):
        read_predictions(tmp_path / "few.csv")


@pytest.mark.parametrize("text", ["video,label\na,1\n", "", None])
def test_read_predictions_names_the_file(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "broken.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PipelineError, match=r"broken\.csv"):
        read_predictions(path)


def test_the_scores_of_seeds_are_matched_by_video_in_any_order() -> None:
    first = pd.Series([1.0, 0.0, 1.0], index=["a", "b", "c"])
    expected = pd.DataFrame({0: first, 7: [0.0, 1.0, 1.0]})
    for other in (pd.Series([0.0, 1.0, 1.0], index=["a", "b", "c"]), pd.Series([1.0, 1.0, 0.0], index=["c", "b", "a"])):
        pd.testing.assert_frame_equal(side_by_side({0: first, 7: other}), expected)
