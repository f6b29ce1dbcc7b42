"""Tables and charts with worst cases: their numbers beside the columns, in every format."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting import measured, pooled, worst_cases
from pipeline_lib.reporting.cells import Numbers, measure
from pipeline_lib.reporting.differences import ABOVE, BEST, build_differences
from pipeline_lib.reporting.faults import fault_note, with_faults
from pipeline_lib.reporting.figures.chart import draw_table
from pipeline_lib.reporting.measured import Comparisons
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.paired import compare
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import COLUMNS, build_table, read_long, read_table, table_of
from pipeline_lib.reporting.worst_cases import WORST_COLUMNS, WORST_NUMBERS, values, with_worst_cases
from test_audit_table import audit_entry
from test_tables import KINDS, PAPER, cell_of, layout_of, visible, write_predictions

# 40 clips of ten classes: a constant answer gets 10 %.
ROWS = {
    "None": {"clean": ["11111110" * 5], "pgd": ["11100000" * 5]},
    "AT": {"clean": ["11111100" * 5], "pgd": ["11110000" * 5]},
}
WORST = {"None": ["11000000" * 5], "AT": ["10000000" * 5]}


def with_worst(folder: Path, rows: Mapping, worst: Mapping[str, Sequence[str]], **changes: Any) -> dict[str, Any]:
    """A layout whose column `pgd` has a worst case in some rows, one string of correct (1) and wrong (0) per seed."""
    layout = layout_of(folder, rows, **changes)
    for row in layout["rows"]:
        if marks := worst.get(row["label"]):
            paths = [write_predictions(folder / f"{row['label']} {i}.csv", one) for i, one in enumerate(marks)]
            row["worst"] = {"pgd": {"cells": paths, "audits": []}}
    return layout


def built(layout: dict[str, Any]) -> pd.DataFrame:
    return build_table(layout, PAPER)


def written(folder: Path, layout: dict[str, Any]) -> dict[str, str]:
    write_table(built(layout), layout, **{kind: folder / f"t.{ending}" for kind, ending in KINDS.items()})
    return {kind: visible((folder / f"t.{ending}").read_text()) for kind, ending in KINDS.items()}


def test_a_worst_case_is_in_the_row_of_its_column(tmp_path: Path) -> None:
    table = built(with_worst(tmp_path, ROWS, WORST))
    assert table.columns.tolist() == [*COLUMNS, *WORST_COLUMNS]
    pgd = cell_of(table, "AT", "pgd")
    assert (pgd["measured"], pgd["worst"], pgd["more_fall"], pgd["fall"]) == (50.0, 12.5, 15, 37.5)
    assert (pgd["worst_low"], pgd["worst_high"]) == wilson(12.5, 40)
    assert 0 < pgd["fall_low"] < 37.5 < pgd["fall_high"]
    assert pd.isna(cell_of(table, "AT", "clean")["worst"])
    # The summaries take the worst case where there is one, and the clean column as it is.
    mean, union = (cell_of(table, "AT", column) for column in ("mean", "union"))
    assert (mean["measured"], mean["worst"], mean["fall"]) == (62.5, (75 + 12.5) / 2, 18.75)
    assert pd.isna(mean["more_fall"])  # points of percent, and no number of clips
    assert (union["measured"], union["worst"], union["more_fall"]) == (50.0, 12.5, 15)


@pytest.mark.parametrize(("more", "weak"), [(0, False), (5, False), (6, True)])
def test_an_attack_is_weak_by_the_exact_test_of_the_clips_that_more_fall(tmp_path: Path, more: int, weak: bool) -> None:
    """Five of five have p = 2 / 2 ** 5 = 0.0625, six of six 0.031; the others of 40 clips do not count."""
    rows = {"AT": {"clean": ["1" * 40], "pgd": ["1" * 30 + "0" * 10]}}
    table = built(with_worst(tmp_path, rows, {"AT": ["0" * more + "1" * (30 - more) + "0" * 10]}))
    cells = [cell_of(table, "AT", column) for column in ("clean", "pgd", "mean", "union")]
    assert [cell["weak"] for cell in cells] == [False, weak, weak, weak]
    assert cells[1]["more_fall"] == more


def test_a_worst_case_without_scores_or_above_is_not_weak(tmp_path: Path) -> None:
    cells = measure(layout_of(tmp_path, ROWS)).rows
    high, low = cells["AT"]["clean"], cells["None"]["pgd"]
    without = [replace(one, scores=None) for one in (high, low)]
    for own, worst in ((without[0], low), (high, without[1])):
        cell = low.cell
        shown = {"worst": cell.measured, "worst_low": cell.low, "worst_high": cell.high, "weak": False}
        assert values(own, worst, "t") == shown
    assert [values(high, low, "t")["weak"], values(low, high, "t")["weak"]] == [True, False]


@pytest.mark.parametrize(("p", "difference", "weak"), [(0.049, 0.5, True), (0.05, 0.5, False), (0.01, 0.0, False)])
def test_an_attack_is_weak_below_the_level(tmp_path: Path, monkeypatch, p, difference, weak) -> None:
    cell = measure(layout_of(tmp_path, ROWS)).rows["AT"]["clean"]
    pair = compare(cell.scores, cell.scores, "t")
    monkeypatch.setattr(worst_cases, "compare", lambda *given: replace(pair, p=p, difference=difference))
    assert values(cell, cell, "t")["weak"] is weak


def test_videos_with_several_clips_have_no_number_of_clips(tmp_path: Path) -> None:
    one, two = (built(with_worst(tmp_path, ROWS, WORST, **changes)) for changes in ({}, {"clips_by_video": 2}))
    assert two["more_fall"].isna().all()
    pd.testing.assert_frame_equal(one.drop(columns="more_fall"), two.drop(columns="more_fall"))


def test_a_worst_case_at_the_limit_of_a_constant_answer_is_not_above_it(tmp_path: Path) -> None:
    """In any order of the table's rows."""
    layout = with_worst(tmp_path, ROWS, WORST)
    numbers = measure(layout)
    own = table_of(layout, PAPER, numbers)
    table = with_worst_cases(own[::-1].assign(constant=wilson(25.0, 40)[0]), layout, numbers)
    assert cell_of(table, "None", "pgd")["worst_flag"] == cell_of(table, "AT", "pgd")["worst_flag"] != ""
    higher = with_worst_cases(own[::-1].assign(constant=0.0), layout, numbers)
    assert cell_of(higher, "None", "pgd")["worst"] == 25
    assert (higher["worst_flag"] == "").all()


def test_the_best_worst_case_is_of_the_worst_cases(tmp_path: Path) -> None:
    """The other order than under the column's attack."""
    rows = {"None": {"clean": ["1" * 40], "pgd": ["1" * 40]}, "AT": {"clean": ["1" * 40], "pgd": ["1" * 36 + "0000"]}}
    table = built(with_worst(tmp_path, rows, {"None": ["1" * 10 + "0" * 30], "AT": ["1" * 30 + "0" * 10]}))
    assert [cell_of(table, row, "pgd")["worst_best"] for row in rows] == [False, True]


def test_faults_of_a_number_are_those_of_all_its_sets(tmp_path: Path) -> None:
    layout = with_worst(tmp_path, ROWS, WORST)
    masked, broken, sound = (
        audit_entry(tmp_path, **facts)["audit"] for facts in ({"zero_gradients": 1.0}, {"box_excess": 1.0}, {})
    )
    first, second = layout["rows"]
    first["audits"], first["source_audits"] = {"pgd": [masked, sound]}, {"pgd": [broken, sound], "clean": []}
    second["worst"]["pgd"]["audits"] = [masked, broken, masked]
    shown = with_faults(built(layout), layout)
    assert cell_of(shown, "None", "pgd")["faults"] == "bound broken of the source, masked gradient"
    assert cell_of(shown, "None", "clean")["faults"] == cell_of(shown, "AT", "pgd")["faults"] == ""
    assert cell_of(shown, "AT", "pgd")["worst_faults"] == "bound broken, masked gradient"
    note = "\u2020 Not a measure of robustness, see the table audit: bound broken of the source, masked gradient"
    assert fault_note(shown[["faults"]]) == f"{note}."
    assert fault_note(shown) == f"{note}; bound broken, masked gradient."
    assert fault_note(pd.DataFrame({"faults": ["", ""]})) == ""


def test_numbers_without_scores_are_not_compared(tmp_path: Path) -> None:
    clean = measure(layout_of(tmp_path, ROWS)).rows["AT"]["clean"]
    rows = {"A": {"c": clean}, "B": {"c": replace(clean, scores=None)}}
    comparisons = Comparisons(rows)
    assert [comparisons.of("t", "c", *pair) for pair in (("A", "B"), ("B", "A"))] == [None, None]
    assert comparisons.of("t", "c", "A", "A").difference == 0


def test_clips_are_paired_by_their_name_and_seeds_averaged(tmp_path: Path) -> None:
    rows = {"None": {"clean": ["1111", "1111"], "pgd": ["1110", "1100"]}}
    layout = with_worst(tmp_path, rows, {"None": ["0110", "0100"]})
    path = Path(layout["rows"][0]["worst"]["pgd"]["cells"][0])
    pd.read_csv(path).iloc[::-1].to_csv(path, index=False)
    pgd = cell_of(built(layout), "None", "pgd")
    assert (pgd["worst"], pgd["more_fall"]) == (37.5, 1)
    assert (pgd["worst_low"], pgd["worst_high"]) == (wilson(25, 4)[0], wilson(50, 4)[1])


def test_clips_of_several_seeds_are_a_mean(tmp_path: Path) -> None:
    rows = {"AT": {"clean": ["1" * 40, "1" * 40], "pgd": ["1" * 20 + "0" * 20, "1" * 21 + "0" * 19]}}
    texts = written(tmp_path, with_worst(tmp_path, rows, {"AT": ["1" * 10 + "0" * 30, "1" * 10 + "0" * 30]}))
    assert "weak: 10.5 clips more fall (mean of 2 seeds)" in texts["html"]


def test_more_than_a_thousand_clips_are_written_in_digits(tmp_path: Path) -> None:
    rows = {"AT": {"clean": ["1" * 2000], "pgd": ["1" * 1500 + "0" * 500]}}
    texts = written(tmp_path, with_worst(tmp_path, rows, {"AT": ["1" * 348 + "0" * 1652]}))
    assert "weak: 1,152 clips more fall" in texts["html"]


def test_the_csv_has_the_worst_case_of_each_seed(tmp_path: Path) -> None:
    rows = {"AT": {"clean": ["1" * 40, "1" * 40], "pgd": ["1" * 20 + "0" * 20, "1" * 24 + "0" * 16]}}
    layout = with_worst(tmp_path, rows, {"AT": ["1" * 10 + "0" * 30, "1" * 20 + "0" * 20]})
    numbers = measure(layout)
    paths = {kind: tmp_path / f"t.{ending}" for kind, ending in KINDS.items()}
    write_table(built(layout), layout, None, numbers, **paths)
    of_seeds = read_long(paths["csv"]).query("seed != ''").set_index(["column", "seed"])
    pgd, mean = of_seeds.loc["pgd"], of_seeds.loc["mean"]
    assert pgd[["measured", "worst", "more_fall", "fall"]].to_numpy().tolist() == [[50, 25, 10, 25], [60, 50, 4, 10]]
    assert pgd["worst_low"].tolist() == [round(wilson(percent, 40)[0], 4) for percent in (25, 50)]
    assert pgd["weak"].tolist() == [True, False]
    assert (mean["fall"].tolist(), mean["more_fall"].isna().tolist()) == ([12.5, 5], [True, True])
    assert of_seeds.loc["clean"]["worst"].isna().all()


def test_rows_without_a_worst_case_stay_empty(tmp_path: Path) -> None:
    table = built(with_worst(tmp_path, ROWS, {"AT": WORST["AT"]}))
    empty = table[table["row"] == "None"]
    assert empty[list(WORST_NUMBERS)].isna().all(axis=None)
    assert not empty[["weak", "worst_best"]].any(axis=None)
    assert (empty["worst_flag"] == "").all()


def test_a_table_without_worst_cases_has_no_columns_for_them(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    assert built(layout).columns.tolist() == list(COLUMNS)
    assert not any("orst case" in text for text in written(tmp_path, layout).values())


def test_predictions_of_other_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="lacks 1 videos, first v39"):
        built(with_worst(tmp_path, ROWS, {"AT": [WORST["AT"][0][:-1]]}))
    with pytest.raises(PipelineError, match="row AT: column pgd has 2 predictions for 1 seeds"):
        built(with_worst(tmp_path, ROWS, {"AT": WORST["AT"] * 2}))


def test_every_format_shows_it_beside_the_column(tmp_path: Path) -> None:
    texts = written(tmp_path, with_worst(tmp_path, ROWS, WORST))
    low, high = wilson(12.5, 40)
    worst = f"12.5\u2021 [{low:.1f}, {high:.1f}]"
    assert f"50.0\u00b6 [35.2, 64.8] \u2192 {worst} |" in texts["markdown"]
    lines = [line for line in texts["latex"].splitlines() if "&" in line]
    assert [line.split()[0] for line in lines] == ["model", "None", "(worst", "(paper)", "AT", "(worst"]
    assert worst in lines[-1]
    assert f'<small class="worst">worst {worst}</small>' in texts["html"]
    cells = {"15 clips more fall": 2, "18.8 percentage points lower": 1}  # pgd and union, and their mean
    for words, count in cells.items():
        assert texts["html"].count(f"weak: {words}</small>") == count
        assert texts["html"].count(f"<dd>{words}</dd>") == count
    for kind in ("markdown", "latex", "html"):
        assert "on clips that withstand it, stronger ones in the same bound" in " ".join(texts[kind].split())
        assert "\u00b6 Weak attack: more clips fall in the worst case" in texts[kind]
        assert "\u2021 Not above a constant answer" in texts[kind]
    table = read_table(tmp_path / "t.csv")
    pd.testing.assert_frame_equal(table, built(with_worst(tmp_path, ROWS, WORST)).round(4))


def test_the_best_worst_case_is_bold_and_one_with_a_fault_never(tmp_path: Path) -> None:
    """Of None's 25.0 and AT's 12.5, which is not above a constant answer."""
    layout = with_worst(tmp_path, ROWS, WORST)
    assert "worst <b>25.0</b> [" in written(tmp_path, layout)["html"]
    folder = tmp_path / "audits"
    folder.mkdir()
    layout["rows"][0]["worst"]["pgd"]["audits"] = [audit_entry(folder, zero_gradients=1.0)["audit"]]
    texts = written(tmp_path, layout)
    assert "\u2192 25.0\u2020 [" in texts["markdown"]
    assert "worst 25.0\u2020 [" in texts["html"]
    assert "\u2020 Not a measure of robustness, see the table audit: masked gradient." in texts["html"]


def test_the_chart_shows_both_numbers(tmp_path: Path) -> None:
    layout = with_worst(tmp_path, ROWS, WORST)
    figure = draw_table(with_faults(built(layout), layout), "Title")
    panel = figure.axes[1]
    assert [text.get_text() for text in panel.texts] == ["37.5", "25.0", "50.0\u00b6", "12.5\u2021"]
    assert [bar.get_width() for bar in panel.patches] == [37.5, 25.0, 50.0, 12.5]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["measured, with its 95 % interval", "worst case in the same bound", "printed in the paper"]
    for row in layout["rows"]:
        del row["worst"]
    plain = draw_table(with_faults(built(layout), layout), "Title")
    assert len(plain.axes[1].patches) == 2
    assert len(plain.legends[0].get_texts()) == 2


def test_each_file_is_read_and_each_pair_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that the table of differences and the worst cases need again."""
    read, compared = [], []
    one_file, one_pair = pooled.read_by_video, measured.compare
    monkeypatch.setattr(pooled, "read_by_video", lambda path: read.append(path) or one_file(path))
    monkeypatch.setattr(measured, "compare", lambda *given: compared.append(given[2:]) or one_pair(*given))
    layout = with_worst(tmp_path, ROWS, WORST)
    numbers = measure(layout)
    table = with_worst_cases(table_of(layout, PAPER, numbers), layout, numbers)
    differences = build_differences(layout, table, numbers)
    assert sorted(read) == sorted(set(read))
    assert len(read) == 6
    assert set(differences["against"]) == {BEST, ABOVE}
    places = [(row, other, column, worst) for worst, known in both(numbers) for _, column, row, other in known]
    assert len(compared) == len(places) == len(set(places))


def both(numbers: Numbers) -> list[tuple[bool, list[tuple[str, ...]]]]:
    return [(False, list(numbers.comparisons.known)), (True, list(numbers.worst_comparisons.known))]
