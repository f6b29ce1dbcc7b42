"""The papers' tables: measured accuracies with intervals, and the printed numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.configuration.claim_cells import printed_files
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.best import unbeaten
from pipeline_lib.reporting.cells import Numbers, measure
from pipeline_lib.reporting.chance import Chance, chance_of, clean_columns, flags
from pipeline_lib.reporting.faults import with_faults
from pipeline_lib.reporting.long_form import BESIDE
from pipeline_lib.reporting.measured import Measured
from pipeline_lib.reporting.pairs import PAIR_NUMBERS, PAIR_TEXTS
from pipeline_lib.reporting.worst_cases import WORST_NUMBERS, with_worst_cases

COLUMNS = (
    *("table", "row", "column", "measured", "low", "high", "n", "seeds", "paper", "difference"),
    *("sd", "constant", "chance", "flag", "best"),
)
NUMBERS = ("measured", "low", "high", "paper", "difference", "sd", "constant", "chance")
PARAMETERS = "parameters"  # the column of the number of parameters, in millions, as in OUDefend's table
PAPER_COLUMNS = ("table", "row", "column", "value", "unit", "source")


def read_paper(folder: Path | str) -> pd.DataFrame:
    """Return the printed numbers of all CSV files in `folder` but that of claims, columns `PAPER_COLUMNS`.

    Text is not converted: a row of Adversarial Framing's table is called "None". Raises PipelineError if there is no
    file or one has other columns.
    """
    paths = printed_files(Path(folder))
    if not paths:
        raise PipelineError(f"{folder}: no CSV files with printed numbers there")
    tables = [pd.read_csv(path, dtype={"row": str, "column": str}, keep_default_na=False) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.columns.tolist() != list(PAPER_COLUMNS):
            raise PipelineError(f"{path}: columns {table.columns.tolist()}, expected {list(PAPER_COLUMNS)}")
    return pd.concat(tables, ignore_index=True).astype({"value": float})


def read_table(path: Path | str) -> pd.DataFrame:
    """Return a table in long form (`COLUMNS`) from a CSV of `write_table`: its pooled rows."""
    found = read_long(path)
    return found[found["seed"] == ""].drop(columns=list(BESIDE)).reset_index(drop=True)


def read_long(path: Path | str) -> pd.DataFrame:
    """Return all rows and columns of a CSV of `write_table`: pooled, and of each seed (`long_form`)."""
    texts = ("table", "row", "column", "seeds", "flag", "worst_flag", *PAIR_TEXTS, *BESIDE)
    types: Any = {**dict.fromkeys(texts, str), "n": "Int64", "best": bool}
    empty = {name: [""] for name in (*NUMBERS, *WORST_NUMBERS, *PAIR_NUMBERS, "n")}
    found = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=empty)
    return found.assign(**{name: "" for name in BESIDE if name not in found})  # a file by hand may lack them


def build_table(layout: Mapping[str, Any], paper: pd.DataFrame) -> pd.DataFrame:
    """Return the layout's table in long form: a row per cell, `COLUMNS`, in percent, missing values empty.

    layout: `name`; `title` (default: the name); `paper` (names of printed tables); `dataset`; `note`;
    `columns`; `types` (column -> branch, in tables of a selection module's choices, else None);
    `summaries` (each with its `column` and, as `method`, the function `module:name`); `rows`, each with
    `label`, `seeds` and `cells` (column -> paths of predictions, one per seed), `entries` (column -> target, attack and
    source of each), `audits` (column -> paths of the audits of white-box sets), and `history` (path of a model's
    training history) if the table shows sizes. Columns may be missing in `cells`; such a row has no summaries.
    paper: the printed numbers (`read_paper`). `difference` is measured - paper. `constant` and `chance` are what
    `chance.chance_of` returns, `flag` what `chance.flags` does, and `best` whether a sound number without a flag is
    unbeaten (`best.unbeaten`). `sd`: over seeds. Rows with `worst` add the columns of `worst_cases`.
    """
    numbers = measure(layout)
    return with_worst_cases(table_of(layout, paper, numbers), layout, numbers)


def table_of(layout: Mapping[str, Any], paper: pd.DataFrame, numbers: Numbers) -> pd.DataFrame:
    """Return `build_table` of numbers that are measured already."""
    check_layout(layout)
    printed = printed_values(layout, paper)
    chance = None if layout.get("types") or numbers.labels is None else chance_of(numbers.labels)
    records = [
        record
        for row in layout["rows"]
        for record in row_records(layout, row, printed, numbers.rows[row["label"]], chance)
    ]
    table = pd.DataFrame(records, columns=list(COLUMNS))
    table = table.astype({**dict.fromkeys(NUMBERS, float), "n": "Int64", "best": bool})
    may = table["measured"].notna() & (table["flag"] == "") & (table["column"] != PARAMETERS)
    sound = may & (with_faults(table, layout)["faults"] == "")
    return table.assign(best=unbeaten(table, sound, numbers.comparisons))


def check_layout(layout: Mapping[str, Any]) -> None:
    """Raise PipelineError for two rows with the same label."""
    labels = [row["label"] for row in layout["rows"]]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise PipelineError(f"table {layout['name']}: labels {twice} are used twice; give each row its own label")


def printed_values(layout: Mapping[str, Any], paper: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return (row, column) -> printed value, from the first of the layout's printed tables with that cell."""
    printed: dict[tuple[str, str], float] = {}
    for name in layout["paper"]:
        table = paper[paper["table"] == name]
        if table.empty:
            known = sorted(paper["table"].unique())
            raise PipelineError(f"table {layout['name']}: no printed table {name!r}; known are {known}")
        values = zip(zip(table["row"], table["column"], strict=True), table["value"], strict=True)
        printed = dict(values) | printed
    return printed


def row_records(
    layout: Mapping[str, Any],
    row: Mapping[str, Any],
    printed: Mapping[tuple[str, str], float],
    cells: Mapping[str, Measured],
    chance: Chance | None,
) -> list[dict[str, Any]]:
    """Return the rows in long form for one row of the table."""
    records = size_records(layout, row, printed)
    numbers = {column: measured.cell for column, measured in cells.items()}
    flagged = {} if chance is None else flags(numbers, clean_columns(row), chance)
    for column in [*layout["columns"], *summary_columns(layout)]:
        record = empty_record(layout, row, column)
        record["paper"] = printed.get((row["label"], column))
        if cell := numbers.get(column):
            record.update(measured=cell.measured, low=cell.low, high=cell.high, n=cell.n, sd=cell.sd)
            record["seeds"] = " ".join(map(str, row["seeds"]))
            record["difference"] = None if record["paper"] is None else cell.measured - record["paper"]
            record["flag"] = flagged.get(column, "")
        if chance:
            record.update(constant=chance.constant, chance=chance.guess)
        records.append(record)
    return records


def empty_record(layout: Mapping[str, Any], row: Mapping[str, Any], column: str) -> dict[str, Any]:
    names = {"table": layout["name"], "row": row["label"], "column": column}
    return names | {"seeds": "", "flag": "", "best": False}


def size_records(
    layout: Mapping[str, Any], row: Mapping[str, Any], printed: Mapping[tuple[str, str], float]
) -> list[dict[str, Any]]:
    """Return the row's record in column `PARAMETERS`, in millions; empty if the table does not show sizes."""
    if not row.get("history"):
        return []
    measured, paper = int(pd.read_csv(row["history"])[PARAMETERS][0]) / 1e6, printed.get((row["label"], PARAMETERS))
    record = empty_record(layout, row, PARAMETERS)
    return [record | {"paper": paper, "measured": measured, "difference": None if paper is None else measured - paper}]


def summary_columns(layout: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that summarize the others."""
    return [summary["column"] for summary in layout["summaries"]]
