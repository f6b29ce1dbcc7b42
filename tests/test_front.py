"""The report's first page: the order of its parts, nothing invented where nothing is finished, and escaped labels."""

import re
from pathlib import Path

import pandas as pd
import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from pipeline_lib.configuration.front_facts import figure_title, front_facts, numbered
from pipeline_lib.configuration.paths import Paths
from pipeline_lib.reporting.audits import build_audit
from pipeline_lib.reporting.front import compact, front_page, sections
from pipeline_lib.reporting.marks import DAGGER, GUESS_MARK
from pipeline_lib.reporting.selectors import NOTES
from pipeline_lib.reporting.tables import build_table
from pipeline_lib.reporting.used import HEADS, by_rule, time_asked
from test_audit_table import audit_entry
from test_tables import PAPER, layout_of

OPENING = """Claims of the papers
====================

Of 2 claims 1 holds.

Determinism and precision
=========================

Seeds of the models: 0.

Decoded clips
=============

``synthetic/test``: 4 OK.
"""
TITLE = "{{ 7 * 7 }} {% raw %} <script>alert(1)</script>"


def rendered(
    folder: Path, studies: list[str], sets: list[dict[str, str]], used: list[dict] | None = None, **of_row: object
) -> str:
    """The page as HTML, by the steps of Snakemake: Jinja, then docutils. of_row: keys of the layout's only row."""
    tables, entries, layout = {}, [], {}
    for name in studies:
        layout = layout_of(folder, {TITLE: {"clean": ["1110"], "pgd": ["0000"]}})
        layout["rows"][0] |= of_row
        made = build_table(layout, PAPER)
        tables[name] = folder / f"{name}.csv"
        made.to_csv(tables[name], index=False)
        entries.append({"name": name, "title": f"{TITLE} {name}", "dataset": "d", "path": f"r/tables/{name}.html"})
    build_audit(sets).to_csv(folder / "audit.csv", index=False)
    about = {"studies": entries, "figures": [{"title": "Chart", "path": "r/figures/chart.png"}] if studies else []}
    about |= {"layout": layout, "audit": "r/tables/audit.html", "configuration": "r/config.yaml"}
    page = front_page(about, tables, folder / "audit.csv", OPENING, used or [])
    return publish_parts(Environment().from_string(page).render(), writer="html")["html_body"]


def test_the_parts_are_in_the_order_of_a_reader_s_questions(tmp_path: Path) -> None:
    sets = [audit_entry(tmp_path), audit_entry(tmp_path, attack="weak", recovered_clips=0.1)]
    sets += [audit_entry(tmp_path, attack="cut", zero_gradients=1.0)]
    page = rendered(tmp_path, ["b", "a"], sets)
    heads = re.findall(r"<h1>(.*?)</h1>", page)
    assert heads == [
        *("What was asked", "Results", "Claims of the papers", "Figures", "What is doubtful", "Decoded clips"),
        *("What it cost", "How it was made"),
    ]
    assert page.index("tables/b.html") < page.index("tables/a.html")  # the order of the configuration
    assert "2 of 3 adversarial sets are exceptions" in page
    assert page.index("masked gradient: cut on no_defense") < page.index("last iterate worse: weak on no_defense")
    assert "made with 4,500 iterations over clips" in page
    assert "a constant answer gets 25.0 %" in page
    assert "snakemake --cores all --configfile r/config.yaml" in re.sub(r"</?span[^>]*>", "", page)


def test_numbers_are_marked_as_in_the_table_itself(tmp_path: Path) -> None:
    """A masked gradient, which the row's means have too, and a selection module that only guesses."""
    (tmp_path / "own").mkdir()
    cut = audit_entry(tmp_path / "own", zero_gradients=1.0)["audit"]
    history = tmp_path / "history.csv"
    history.write_text("selector_loss,selector_guess\n1.1,1.1\n")
    page = rendered(tmp_path, ["one"], [], audits={"pgd": [cut]}, selectors={"clean": [str(history)]})
    cells = dict(zip(["clean", "pgd", "mean", "union"], re.findall(r"<td>(.*?)</td>", page)[-4:], strict=True))
    assert {name: DAGGER in cell for name, cell in cells.items()} == {name: name != "clean" for name in cells}
    assert {name: GUESS_MARK in cell for name, cell in cells.items()} == {name: name != "pgd" for name in cells}
    assert "Not a measure of robustness, see the table audit: masked gradient." in page
    assert NOTES["selection module"] in page
    assert DAGGER not in rendered(tmp_path, ["one"], [])


def test_labels_are_neither_markup_nor_templates(tmp_path: Path) -> None:
    page = rendered(tmp_path, ["one"], [audit_entry(tmp_path)])
    assert "<script>" not in page
    assert "49" not in re.sub(r"<a href=.*?>", "", page)
    assert "&#123;&#123; 7 * 7 &#125;&#125; &#123;% raw %&#125; &lt;script&gt;" in page
    assert page.count("<tr>") == 4  # one study and one row, each with its heading


def test_without_a_study_the_page_states_that_there_is_none(tmp_path: Path) -> None:
    page = rendered(tmp_path, [], [])
    assert "No study is named in the configuration." in page
    assert "There is no result." in page
    assert "No audit has an exception" in page
    assert "0 adversarial sets of 0 clips" in page


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (["clean", "a", "b", "c"], ["clean", "a", "b", "c"]),
        (["clean", "a", "b", "c", "mean", "union"], ["clean", "mean", "union"]),
        (["clean", *"abcdefghi"], ["clean", *"abcdefg"]),
    ],
)
def test_the_first_page_has_a_table_s_summaries_or_its_first_columns(columns: list[str], shown: list[str]) -> None:
    assert compact(pd.DataFrame({"column": columns})) == shown


def test_the_costs_state_what_jobs_asked_for_and_used_by_rule(tmp_path: Path) -> None:
    facts = [
        *(("train", 3600, 800, 1000, 120), ("train", 5400, 500, 1000, 99)),
        *(("attack", 36, 500, 1000, None), ("table", 9, 400, None, None), ("features", 600, 500, None, 10)),
    ]
    names = ("rule", "seconds", "peak_mb", "asked_mb", "asked_minutes")
    used = [dict(zip(names, one, strict=True)) for one in facts]
    used = [one | {"asked_by_used": one["asked_mb"] and one["asked_mb"] / one["peak_mb"]} for one in used]
    cost = rendered(tmp_path, [], [], used).partition("What it cost")[2].partition("How it was made")[0]
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", cost)]
    memory = ["rule", "jobs", "hours", "largest memory, MB", "asked for, MB", "asked / used"]
    assert rows[0] == [*memory, "longest, minutes", "asked for, minutes"]
    assert rows[1] == ["train", "2", "2.5", "800", "1,000", "1.25 to 2.00", "90", "99 to 120"]
    assert rows[2:] == [["attack", "1", "0.01", "500", "1,000", "2.00", "0.6", ""]]
    assert "1 of 3 ended within these. The others asked for 1.10 to 2.00 times what they took." in cost
    assert "asked / used" not in rendered(tmp_path, [], [], used[3:])


def test_jobs_whose_memory_or_time_is_not_known_are_left_out() -> None:
    known = {"rule": "train", "seconds": 60.0, "peak_mb": 500.0, "asked_mb": 1000, "asked_minutes": None}
    rows = [known | {"asked_by_used": 2.0}, known | {"rule": "attack", "peak_mb": None, "asked_by_used": None}]
    assert by_rule(rows)["rule"].tolist() == ["train"]
    assert by_rule(rows[1:]).columns.tolist() == by_rule([]).columns.tolist() == list(HEADS)
    assert time_asked(rows) == ""


def test_sections_are_read_back() -> None:
    found = sections(OPENING)
    assert list(found) == ["Claims of the papers", "Determinism and precision", "Decoded clips"]
    assert found["Determinism and precision"] == "Seeds of the models: 0."


def test_entries_have_titles_in_place_of_keys_and_the_configuration_s_order() -> None:
    studies = {name: {"title": f"T {name}", "dataset": "d", "datasets": ["d"]} for name in ("z", "a")}
    chart = {"entry": {"study": "z", "dataset": "d", "title": "T z"}}
    figures = {"chart_z": chart, "training_d": {"entry": {"dataset": "d"}}, "own_one": {"entry": {"dataset": "d"}}}
    facts = front_facts(
        {"studies": studies, "figures": figures, "datasets": {"d": {}}}, Paths("r"), {"z": {"name": "z"}}
    )
    assert facts["layout"] == {"name": "z"}
    assert [one["title"] for one in facts["studies"]] == ["T z", "T a"]
    assert [one["title"] for one in facts["figures"]] == ["Chart: T z", "Training on d", "Own one"]
    assert figure_title({"figures": {"f": {"entry": {"title": "Mine"}}}}, "f") == "Mine"


@pytest.mark.parametrize("count", [1, 9, 10, 120])
def test_numbers_keep_the_order_where_titles_are_sorted_as_text(count: int) -> None:
    titles = [*numbered({str(place): "z" if place % 2 else "a" for place in range(count)}).values()]
    assert titles == sorted(titles)
    assert pd.Series(titles).is_unique
