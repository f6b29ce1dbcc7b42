"""Tables from predictions: the numbers, the errors, the escaping and the bytes."""

import io
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_lib.configuration.summaries import resolve_summaries
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import COLUMNS, build_table, read_paper, read_table
from test_audit_table import audit_entry

KINDS = {"csv": "csv", "markdown": "md", "latex": "tex", "html": "html"}
PAPER = pd.DataFrame(
    [("printed", "None", "clean", 89.0), ("printed", "None", "pgd", 3.25), ("printed", "None", "mean", 20.6)],
    columns=["table", "row", "column", "value"],
)


def write_predictions(path: Path, correct: str) -> str:
    """One clip per character: 1 is correct, 0 is wrong. Ten classes in turn."""
    rows = [f"v{index},{index % 10},{(index + 1 - int(mark)) % 10},0.5" for index, mark in enumerate(correct)]
    path.write_text("\n".join(["video,label,prediction,loss", *rows]) + "\n")
    return str(path)


def summaries(*names: str) -> list[dict[str, str]]:
    return resolve_summaries("summaries", names, ())


def layout_of(folder: Path, rows: Mapping[str, Mapping[str, Sequence[str]]], **changes: Any) -> dict[str, Any]:
    """A layout whose cells are given as one string of correct (1) and wrong (0) per seed."""

    def paths(row: str, column: str, seeds: Sequence[str]) -> list[str]:
        return [
            write_predictions(folder / f"{len(row)}{column}{seed}.csv", correct) for seed, correct in enumerate(seeds)
        ]

    seeds = max(len(cell) for cells in rows.values() for cell in cells.values())
    layout = {
        "name": "study",
        "paper": ["printed"],
        "dataset": "synthetic",
        "note": "For orientation.",
        "columns": ["clean", "pgd"],
        "summaries": summaries("mean", "union"),
        "rows": [
            {
                "label": row,
                "seeds": list(range(seeds)),
                "cells": {column: paths(row, column, cell) for column, cell in cells.items()},
            }
            for row, cells in rows.items()
        ],
    }
    return layout | changes


def cell_of(table: pd.DataFrame, row: str, column: str) -> dict[str, Any]:
    (record,) = table[(table["row"] == row) & (table["column"] == column)].to_dict("records")
    return {str(name): value for name, value in record.items()}


def test_sizes_are_counted_in_millions_and_never_the_best(tmp_path: Path) -> None:
    (tmp_path / "model.csv").write_text("epoch,parameters\n1,33081893\n")
    layout = layout_of(tmp_path, {"None": {"clean": ["1110"], "pgd": ["0110"]}})
    layout["rows"][0]["history"] = str(tmp_path / "model.csv")
    paper = pd.concat([PAPER, pd.DataFrame([("printed", "None", "parameters", 33.0)], columns=PAPER.columns)])
    table = build_table(layout, paper)
    size = cell_of(table, "None", "parameters")
    assert (size["measured"], size["paper"], round(size["difference"], 6)) == (33.081893, 33.0, 0.081893)
    write_table(table, layout, **{kind: tmp_path / f"t.{ending}" for kind, ending in KINDS.items()})
    assert "| None    | 33.1 (paper 33.0) | 75.0 [" in (tmp_path / "t.md").read_text()
    assert "<b>33.1" not in (tmp_path / "t.html").read_text()
    assert "Parameters in millions." in (tmp_path / "t.md").read_text()


def test_a_table_of_types_counts_the_selected_branches(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"MultiBN": {"clean": ["1110"], "pgd": ["0110"]}}, types={"clean": "bn", "pgd": "lp"})
    for cells, selected in (("clean", ["bn", "bn", "bn", "lp"]), ("pgd", ["lp", "bn", "bn", "bn"])):
        path = Path(layout["rows"][0]["cells"][cells][0])
        pd.read_csv(path).assign(selected=selected).to_csv(path, index=False)
    table = build_table(layout, PAPER)
    assert cell_of(table, "MultiBN", "clean")["measured"] == 75
    assert cell_of(table, "MultiBN", "pgd")["measured"] == 25
    assert cell_of(table, "MultiBN", "union")["measured"] == 25  # the first video, in both columns


def test_cells_are_accuracies_with_their_difference_to_the_paper(tmp_path: Path) -> None:
    table = build_table(layout_of(tmp_path, {"None": {"clean": ["1110"], "pgd": ["0110"]}}), PAPER)
    assert table.columns.tolist() == list(COLUMNS)
    assert table["column"].tolist() == ["clean", "pgd", "mean", "union"]
    clean = cell_of(table, "None", "clean")
    assert (clean["measured"], clean["paper"], clean["difference"], clean["n"]) == (75, 89.0, -14.0, 4)
    assert (clean["low"], clean["high"]) == wilson(75, 4)
    assert cell_of(table, "None", "mean")["measured"] == 62.5
    union = cell_of(table, "None", "union")
    assert union["measured"] == 50
    assert pd.isna(union["paper"])
    assert pd.isna(union["difference"])


def test_seeds_are_averaged_and_summarized_one_by_one(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"None": {"clean": ["1100", "1111"], "pgd": ["0011", "1110"]}})
    table = build_table(layout, PAPER)
    union = cell_of(table, "None", "union")
    assert union["seeds"] == "0 1"
    assert union["measured"] == (0 + 75) / 2
    assert (union["low"], union["high"]) == (wilson(0, 4)[0], wilson(75, 4)[1])


@pytest.mark.parametrize(
    ("summary", "expected"),
    [("mean", 50), ("avg_all", 50), ("acc_all", 50), ("avg_adv", 25), ("acc_adv", 25), ("union", 25)],
)
def test_each_summary(tmp_path: Path, summary: str, expected: float) -> None:
    layout = layout_of(tmp_path, {"None": {"clean": ["1110"], "pgd": ["0100"]}}, summaries=summaries(summary))
    assert cell_of(build_table(layout, PAPER), "None", summary)["measured"] == expected


def test_a_missing_column_stays_empty_and_takes_the_summaries_along(tmp_path: Path) -> None:
    table = build_table(layout_of(tmp_path, {"None": {"clean": ["11"]}}), PAPER)
    empty = table[table["column"] != "clean"]
    assert empty[["measured", "low", "high", "n", "difference"]].isna().all(axis=None)
    assert (empty[["seeds", "flag"]] == "").all(axis=None)
    assert cell_of(table, "None", "pgd")["paper"] == 3.25


def test_a_study_without_a_printed_table_has_no_paper_values(tmp_path: Path) -> None:
    table = build_table(layout_of(tmp_path, {"None": {"clean": ["11"]}}, paper=[]), PAPER)
    assert table["paper"].isna().all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paper": ["prnted"]}, r"no printed table 'prnted'; known are \['printed'\]"),
    ],
)
def test_unknown_names_are_errors(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        build_table(layout_of(tmp_path, {"None": {"clean": ["11"]}}, **changes), PAPER)


def test_rows_must_differ_and_have_a_prediction_per_seed(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"None": {"clean": ["11", "10"]}})
    with pytest.raises(PipelineError, match=r"labels \['None'\] are used twice"):
        build_table({**layout, "rows": layout["rows"] * 2}, PAPER)
    layout["rows"][0]["seeds"] = [0]
    with pytest.raises(PipelineError, match="row None: column clean has 2 predictions for 1 seeds$"):
        build_table(layout, PAPER)
    layout["rows"][0]["seeds"] = [0, 1]
    with pytest.raises(PipelineError, match="row None: column clean has 2 predictions for 2 seeds on 2 data sets$"):
        build_table(layout | {"datasets": ["one", "other"]}, PAPER)


def test_seeds_and_columns_must_have_the_same_clips(tmp_path: Path) -> None:
    with pytest.raises(
        PipelineError, match=r"row None: predictions have different numbers of clips: .*clean1\.csv': 3"
    ):
        build_table(layout_of(tmp_path, {"None": {"clean": ["11", "110"]}}), PAPER)
    for rows in ({"None": {"clean": ["11"], "pgd": ["110"]}}, {"None": {"clean": ["11"]}, "AT": {"clean": ["110"]}}):
        with pytest.raises(PipelineError, match=r"lacks 1 videos, first v2; .* must be made from the same clips"):
            build_table(layout_of(tmp_path, rows), PAPER)


def test_read_paper_refuses_other_columns_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no CSV files"):
        read_paper(tmp_path)
    (tmp_path / "odd.csv").write_text("table,row\na,b\n")
    with pytest.raises(PipelineError, match=r"odd\.csv: columns \['table', 'row'\]"):
        read_paper(tmp_path)


class Cells(HTMLParser):
    """The text of every td and th, and of the bold ones."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.bold: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.cells += [""] if tag in ("td", "th") else []

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & {*self.open}:
            self.cells[-1] += data
            self.bold += [data] if "b" in self.open else []


def visible(page: str) -> str:
    """A page without the markup of marks, of titles and of directions."""
    return re.sub(r"</?(abbr|bdi)[^>]*>", "", page)


def written(folder: Path, layout: Mapping[str, Any]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    table = build_table(layout, PAPER)
    write_table(table, layout, **{kind: folder / f"t.{suffix}" for kind, suffix in KINDS.items()})
    texts = {kind: (folder / f"t.{suffix}").read_text() for kind, suffix in KINDS.items()}
    return texts | {"html": visible(texts["html"])}


def test_the_written_csv_reads_back(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path, {"None": {"clean": ["110", "100"], "pgd": ["010", "010"]}, "NA": {"clean": ["111"] * 2}}
    )
    written(tmp_path / "out", layout)
    table = build_table(layout, PAPER)
    pd.testing.assert_frame_equal(read_table(tmp_path / "out" / "t.csv"), table.round(4), check_exact=True)


def test_wide_forms_show_measured_interval_and_paper(tmp_path: Path) -> None:
    texts = written(tmp_path / "out", layout_of(tmp_path, {"None": {"clean": ["1110"], "pgd": ["0110"]}}))
    assert "| 75.0 [30.1, 95.4] (paper 89.0) | 50.0‡ [15.0, 85.0] (paper 3.25) |" in " ".join(texts["markdown"].split())
    assert "None & 75.0 [30.1, 95.4] & 50.0‡ [15.0, 85.0]" in " ".join(texts["latex"].split())
    assert "(paper) & 89.0 & 3.25 & 20.6 & " in " ".join(texts["latex"].split())
    for text in (texts["markdown"], texts["latex"], texts["html"]):
        assert "n = 4 clips, seed 0" in text
        assert "synthetic" in text
        assert "For orientation." in text


@pytest.mark.parametrize("correct", [9, 463, 1225, 1303, 1509])
def test_the_wide_forms_round_what_the_csv_has(tmp_path: Path, correct: int) -> None:
    """1,303 of 2,000 are 65.15 %, which floats just below and just above it stand for: charts read the CSV."""
    text = "1" * correct + "0" * (2000 - correct)
    texts = written(tmp_path / "out", layout_of(tmp_path, {"None": {"clean": [text]}}, columns=["clean"]))
    percent = cell_of(read_table(tmp_path / "out/t.csv"), "None", "clean")["measured"]
    assert percent == correct / 20
    assert re.search(rf"\| {percent:.1f}\W", texts["markdown"])


def test_a_title_heads_the_table_and_the_name_stays_its_label(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"None": {"clean": ["10"]}}, title="MultiBN, white-box")
    texts = written(tmp_path / "out", layout)
    assert texts["markdown"].startswith("### MultiBN, white-box\n")
    assert ">MultiBN, white-box</h1>" in texts["html"]
    assert r"\caption{MultiBN, white-box. Accuracy" in texts["latex"]
    assert r"\label{tab:study}" in texts["latex"]


def test_the_best_value_of_each_column_is_bold_in_html(tmp_path: Path) -> None:
    rows = {"None": {"clean": ["1110" * 10], "pgd": ["0110" * 10]}}
    rows |= {"AT-PGD": {"clean": ["1100" * 10], "pgd": ["1101" * 10]}}
    parser = Cells()
    parser.feed(written(tmp_path / "out", layout_of(tmp_path, rows))["html"])
    # 10 clips against none decide `clean`, 20 against 10 do not decide `pgd`; the means and the unions are ties.
    assert parser.bold == ["75.0", "50.0", "62.5", "50.0", "75.0", "62.5", "50.0"]


def test_markup_characters_are_escaped(tmp_path: Path) -> None:
    odd = "a_b & 5 % <i>|*`$#{}~^\\"
    texts = written(tmp_path / "out", layout_of(tmp_path, {odd: {"clean": ["10"]}}, note=odd))
    parser = Cells()
    parser.feed(texts["html"])
    assert odd in parser.cells
    assert "<i>" not in texts["html"]
    (row,) = [line for line in texts["markdown"].splitlines() if line.startswith("| a")]
    assert row.replace("\\|", "").count("|") == 6
    lines = [line for line in texts["latex"].splitlines() if "a\\_b" in line]
    assert len(lines) == 2  # caption and cell
    for line in lines:
        assert r"a\_b \& 5 \% \ensuremath{<}i\ensuremath{>}|*`\$\#\{\}\textasciitilde{}\^{}\textbackslash{}" in line


def test_pages_are_self_contained(tmp_path: Path) -> None:
    page = written(tmp_path / "out", layout_of(tmp_path, {"None": {"clean": ["10"]}}))["html"]
    assert not any(word in page for word in ("http", "src=", "href=", "import(", "<link", "@import", "url("))


def test_the_same_table_gives_the_same_bytes_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"None": {"clean": ["10"], "pgd": ["10"]}})
    first = written(tmp_path / "out", layout)
    assert written(tmp_path / "out", layout) == first
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["t.csv", "t.html", "t.md", "t.tex"]


@pytest.fixture
def marked(tmp_path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A table whose first row has a masked set under `pgd`, by its audit, and its second a weak one."""
    rows = {"Bare": {"clean": ["1110" * 30], "pgd": ["1110" * 30]}}
    rows |= {"With BPDA": {"clean": ["1111" * 30], "pgd": ["1000" * 30]}}
    layout = layout_of(tmp_path, rows)
    for row, changes in zip(layout["rows"], ({"zero_gradients": 1.0}, {"stored_accuracy": 90.0}), strict=True):
        folder = tmp_path / row["label"]
        folder.mkdir()
        row["audits"] = {"clean": [], "pgd": [audit_entry(folder, **changes)["audit"]]}
    return layout, written(tmp_path / "out", layout)


def test_numbers_that_an_audit_denies_are_marked(marked) -> None:
    _, texts = marked
    bare, bpda = (
        next(line for line in texts["markdown"].splitlines() if f"| {row}" in line) for row in ("Bare", "With BPDA")
    )
    assert [cell.strip().partition(" ")[0] for cell in bare.split("|")[2:-1]] == ["75.0", "75.0†", "75.0†", "75.0†"]
    assert "†" not in bpda  # no effect may be that of a robust model
    for kind in ("markdown", "latex", "html"):
        assert "† Not a measure of robustness, see the table audit: masked gradient." in texts[kind]
        assert texts[kind].count("†") == 4  # the number, its mean and union, and the caption


def test_a_marked_number_is_never_the_best(marked) -> None:
    parser = Cells()
    parser.feed(marked[1]["html"])
    assert parser.bold == ["100.0", "25.0", "62.5", "25.0"]


def test_marks_are_not_in_the_csv(marked) -> None:
    layout, texts = marked
    unmarked = build_table({**layout, "rows": [row | {"audits": {}} for row in layout["rows"]]}, PAPER)
    written = pd.read_csv(io.StringIO(texts["csv"]))[list(COLUMNS)].drop(columns="best")
    pd.testing.assert_frame_equal(
        written, pd.read_csv(io.StringIO(unmarked.round(4).to_csv(index=False))).drop(columns="best")
    )


def test_transfer_numbers_are_marked_where_the_source_had_no_gradient(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"No Defense": {"clean": ["1111" * 30], "pgd": ["1111" * 30]}})
    (tmp_path / "audits").mkdir()
    layout["rows"][0]["source_audits"] = {
        "clean": [],
        "pgd": [audit_entry(tmp_path / "audits", zero_gradients=1.0)["audit"]],
    }
    texts = written(tmp_path / "out", layout)
    line = next(line for line in texts["markdown"].splitlines() if "| No Defense" in line)
    assert [cell.strip().partition(" ")[0] for cell in line.split("|")[2:-1]] == ["100.0", "100.0†", "100.0†", "100.0†"]
    assert "see the table audit: masked gradient of the source." in texts["markdown"]
    assert "<dt>audit of the source</dt><dd>masked gradient</dd>" in texts["html"]
    assert cell_of(build_table(layout, PAPER), "No Defense", "clean")["best"]
    assert not cell_of(build_table(layout, PAPER), "No Defense", "pgd")["best"]


def test_a_table_of_sound_sets_says_nothing_of_audits(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"None": {"clean": ["10"], "pgd": ["10"]}})
    layout["rows"][0]["audits"] = {"pgd": [audit_entry(tmp_path)["audit"]]}
    texts = written(tmp_path / "out", layout)
    assert not any("†" in text or "table audit" in text for text in texts.values())
    assert "<dt>audit</dt><dd>ok</dd>" in texts["html"]


def test_printed_labels_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("table,row,column,value,unit,source\n1,None,NA,3.5,%,p. 1\n")
    (tmp_path / "b.csv").write_text("table,row,column,value,unit,source\n1,007,010,4,%,p. 2\n")
    found = read_paper(tmp_path)
    assert found.index.tolist() == [0, 1]
    assert found["row"].tolist() == ["None", "007"]
    assert found["column"].tolist() == ["NA", "010"]
    assert found["value"].tolist() == [3.5, 4]
