"""A study's table with what is there: the rest is `not computed`, and the table states how many cells it has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.configuration.paths import TABLE_ENDINGS
from pipeline_lib.provenance.origins import Origins
from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.reporting.cells import Numbers, measure
from pipeline_lib.reporting.facts import facts_of
from pipeline_lib.reporting.partial_layouts import PartialLayout
from pipeline_lib.reporting.table_files import write_table
from pipeline_lib.reporting.tables import NUMBERS, PARAMETERS, printed_values, table_of
from pipeline_lib.reporting.worst_cases import WORST_NUMBERS, with_worst_cases

NAME = "{}-partial"


def write_partial(found: PartialLayout, printed: pd.DataFrame, origins: Origins, folder: Path) -> None:
    """Write the table as CSV, Markdown, LaTeX and HTML into a folder, under the name of its study with `-partial`.

    printed: the papers' numbers (`tables.read_paper`). origins: the records of the predictions.
    """
    layout = {**found.layout, **texts(found)}
    files: dict[str, Any] = {kind: folder / f"{layout['name']}.{ending}" for kind, ending in TABLE_ENDINGS.items()}
    numbers = without(measure(layout), found.worst_absent)
    table = with_worst_cases(table_of(layout, printed, numbers), layout, numbers)
    table = marked(with_sizes(table, found, printed), found)
    write_table(table, layout, facts_of(layout, origins), numbers, **files)


def texts(found: PartialLayout) -> dict[str, str]:
    """Return name, title and note of the table, which state that it is partial."""
    layout, of = found.layout, f"{found.cells} of {found.planned} cells"
    meaning = "bold and marks compare only these, and no number is final" if found.cells else "there is nothing yet"
    fewer = [
        f"{row['label']} has {seeds_in_words(' '.join(map(str, row['seeds'])))}, not yet {', '.join(map(str, lacking))}"
        + "".join(f" ({error})" for error in errors_of(found, row["label"]))
        for row in layout["rows"]
        if row["seeds"] and (lacking := found.seeds[row["label"]])
    ]
    sentences = [f"PARTIAL: {of} are computed; {meaning}.", *(f"{text}." for text in fewer), layout["note"]]
    return {
        "name": NAME.format(layout["name"]),
        "title": f"{layout.get('title', layout['name'])} (partial: {of})",
        "note": " ".join(filter(None, sentences)),
    }


def errors_of(found: PartialLayout, label: str) -> list[str]:
    """Return the errors behind the missing files of a row, each once."""
    return [*dict.fromkeys(one.error for one in found.missing if one.row == label and one.error)]


def with_sizes(table: pd.DataFrame, found: PartialLayout, printed: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the records of the sizes that are not computed, first in their rows."""
    lost = [label for label in dict.fromkeys(table["row"]) if (label, None) in found.absent]
    if not lost:
        return table
    paper = printed_values(found.layout, printed)
    empty: dict[str, Any] = {name: float("nan") for name in (*NUMBERS, *WORST_NUMBERS) if name in table}
    empty |= {"column": PARAMETERS, "seeds": "", "n": pd.NA, "flag": "", "best": False}
    sizes = table[table["row"].isin(lost)].drop_duplicates("row")
    sizes = sizes.assign(**empty).assign(paper=[paper.get((label, PARAMETERS), float("nan")) for label in lost])
    order = {label: place for place, label in enumerate(dict.fromkeys(table["row"]))}
    both = pd.concat([sizes.astype(table.dtypes), table])
    return both.sort_values("row", key=lambda rows: rows.map(order), kind="stable", ignore_index=True)


def without(numbers: Numbers, absent: set[tuple[str, str]]) -> Numbers:
    """Return numbers without the worst cases that are not computed.

    A summary whose row lacks a worst case has none: its own would count that column without it.
    """
    worst = {
        row: {column: one for column, one in cells.items() if (row, column) not in absent}
        for row, cells in numbers.worst.items()
    }
    return replace(numbers, worst=worst)


def marked(table: pd.DataFrame, found: PartialLayout) -> pd.DataFrame:
    """Return the table with `absent` and `worst_absent`: whether a number, or its worst case, is not computed."""
    names = found.absent | {(row, PARAMETERS) for row, column in found.absent if column is None}
    cells = list(zip(table["row"], table["column"], strict=True))
    table = table.assign(
        absent=[cell in names for cell in cells], worst_absent=[cell in found.worst_absent for cell in cells]
    )
    if not found.worst_absent:
        return table
    none: dict[str, Any] = dict.fromkeys(WORST_NUMBERS, float("nan")) | {"weak": False, "worst_flag": ""}
    none |= {"worst_best": False}
    return table.assign(**{name: value for name, value in none.items() if name not in table})
