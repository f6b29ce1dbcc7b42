"""Each printed table and the configurations that are said to reproduce it: rows, columns, order, trainings."""

import csv
from functools import cache
from pathlib import Path

import pytest

from configured import resolved, stacked
from pipeline_lib.configuration.targets import INITIAL, split_target
from test_overlays import given_roots, names_in_head

ROOT = Path(__file__).parents[1]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


STATED = {row["table"]: row for row in rows_of(ROOT / "resources/reproduced.csv")}
PRINTED = [row for path in (ROOT / "resources/paper").glob("*.csv") for row in rows_of(path) if "value" in row]


@cache
def plan_of(name: str) -> dict[str, dict]:
    names = names_in_head(ROOT / f"config/{name}.yaml")
    return resolved(stacked(*names, given=given_roots(stacked(*names), "data")))


def studies_of(name: str) -> list[dict]:
    return list(plan_of(name)["studies"].values())


def cells_of(name: str, table: str) -> set[tuple[str, str]]:
    """Row and column of everything that a configuration's studies compare with a printed table."""
    cells: set[tuple[str, str]] = set()
    for study in (one for one in studies_of(name) if table in one["paper"]):
        more = [summary["column"] for summary in study["summaries"]] + ["parameters"] * study["parameters"]
        cells |= {(label, column) for label, row in study["rows"].items() for column in [*row, *more]}
    return cells


def columns_of(study: dict) -> list[str]:
    """As they are shown: the sizes in front, the summaries at the end."""
    summaries = [summary["column"] for summary in study["summaries"]]
    return [*["parameters"] * study["parameters"], *study["columns"], *summaries]


def printed(table: str, key: str) -> list[str]:
    """The rows or columns of a printed table, in its order."""
    return list(dict.fromkeys(row[key] for row in PRINTED if row["table"] == table))


def trained_for(plan: dict[str, dict], study: dict) -> set[str]:
    """The models of a study, and those that they start from, that are trained for any epochs."""
    cells = [cell for row in study["rows"].values() for cells in row.values() for cell in cells]
    todo = {split_target(cell[key])[0] for cell in cells for key in ("target", "source") if cell[key]}
    found: set[str] = set()
    while todo:
        found.add(model := todo.pop())
        todo |= {one for key in INITIAL if isinstance(one := plan["models"][model][key], str)} - found
    return {model for model in found if plan["models"][model]["training"]["epochs"] > 0}


def printed_cells(table: str) -> set[tuple[str, str]]:
    return {(row["row"], row["column"]) for row in PRINTED if row["table"] == table}


def test_every_printed_table_is_listed_once():
    assert sorted(STATED) == sorted({row["table"] for row in PRINTED})
    assert len(rows_of(ROOT / "resources/reproduced.csv")) == len(STATED)


@pytest.mark.parametrize("table", [table for table, row in STATED.items() if row["paper_scale"]])
def test_at_paper_scale_every_printed_number_has_its_cell(table):
    assert printed_cells(table) - cells_of(STATED[table]["paper_scale"], table) == set()


@pytest.mark.parametrize("table", [table for table, row in STATED.items() if row["small"]])
def test_the_small_configuration_computes_a_part_of_it(table):
    assert printed_cells(table) & cells_of(STATED[table]["small"], table)


AT_PAPER_SCALE = [table for table, row in STATED.items() if row["paper_scale"]]


@pytest.mark.parametrize("table", AT_PAPER_SCALE)
def test_at_paper_scale_a_study_has_the_printed_rows_and_columns_in_the_printed_order_and_no_others(table):
    stated = STATED[table]
    study = next(one for one in studies_of(stated["paper_scale"]) if table in one["paper"])
    assert columns_of(study) == printed(table, "column")
    assert [row for row in study["rows"] if row in printed(table, "row")] == printed(table, "row")
    every = {row for name in study["paper"] for row in printed(name, "row")}
    others = [row for row in study["rows"] if row not in every]
    assert others == list(filter(None, stated["own_rows"].split("; ")))


@pytest.mark.parametrize("table", AT_PAPER_SCALE)
def test_at_paper_scale_a_study_has_the_stated_number_of_trainings(table):
    plan = plan_of(STATED[table]["paper_scale"])
    study = next(one for one in plan["studies"].values() if table in one["paper"])
    assert len(trained_for(plan, study)) == int(STATED[table]["trainings"])


MEASURED = {path: path.read_text() for path in (ROOT / "resources/measured").glob("*.md")}


@pytest.mark.parametrize("table", [table for table, row in STATED.items() if "small: measured;" in row["state"]])
def test_a_table_that_is_stated_as_measured_is_among_the_measured_ones(table):
    """In a file that names the configuration, under the title of its study."""
    small = STATED[table]["small"]
    command = "`make demo`" if small == "demo" else f"config/{small}.yaml"
    found = {line for text in MEASURED.values() if command in text for line in text.splitlines()}
    titles = [study["title"] for study in studies_of(small) if table in study["paper"]]
    assert any(f"## {title}" in found for title in titles)


@pytest.mark.parametrize("table", [table for table, row in STATED.items() if row["small"]])
def test_small_studies_keep_the_printed_order(table):
    for study in studies_of(STATED[table]["small"]):
        for key, shown in (("row", list(study["rows"])), ("column", columns_of(study))):
            common = [name for name in shown if name in printed(table, key)]
            assert table not in study["paper"] or common == [name for name in printed(table, key) if name in common]


FIGURES = rows_of(ROOT / "resources/reproduced_figures.csv")


@pytest.mark.parametrize("place", sorted({row[key] for row in FIGURES for key in ("paper_scale", "small") if row[key]}))
def test_every_listed_figure_is_one_of_its_configuration(place):
    config, _, figure = place.partition("/")
    assert figure in plan_of(config)["figures"]


def test_multav_has_its_printed_figures():
    """Fig. 1: five MultAV forms and PGD in two norms. Fig. 2: one clip, two models, three frames."""
    for config in ("multav", "demo_more"):
        figures = plan_of(config)["figures"]
        shown = [
            figures[name]["entry"] for name in ("perturbations_examples", "perturbations_multav") if name in figures
        ]
        forms = {f"multav_{form}" for form in ("linf", "l2", "roa", "af", "spa")} | {"pgd", "pgd_l2"}
        assert any(forms <= set(entry["attacks"]) for entry in shown)
        maps = figures["feature_maps_multav"]["entry"]
        assert (list(maps["rows"]), maps.get("frames", 3)) == (["Mult", "Add"], 3)
