"""The papers' tables: measured accuracies with intervals, and the printed numbers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.entries.building import load
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.faults import fault_note, with_faults
from pipeline_lib.reporting.metrics import (
    Cell,
    Estimate,
    accuracy,
    correct_clips,
    envelope,
    over_seeds,
    read_predictions,
)
from pipeline_lib.reporting.publish import publish

COLUMNS = ("table", "row", "column", "measured", "low", "high", "n", "seeds", "paper", "difference")
NUMBERS = ("measured", "low", "high", "paper", "difference")
PARAMETERS = "parameters"  # the column of the number of parameters, in millions, as in OUDefend's table
PAPER_COLUMNS = ("table", "row", "column", "value", "unit", "source")


def read_paper(folder: Path | str) -> pd.DataFrame:
    """Return the printed numbers of all CSV files in `folder`, columns `PAPER_COLUMNS`.

    Text is not converted: a row of Adversarial Framing's table is called "None". Raises PipelineError if there is no
    file or one has other columns.
    """
    paths = sorted(Path(folder).glob("*.csv"))
    if not paths:
        raise PipelineError(f"{folder}: no CSV files with printed numbers there")
    tables = [pd.read_csv(path, dtype={"row": str, "column": str}, keep_default_na=False) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.columns.tolist() != list(PAPER_COLUMNS):
            raise PipelineError(f"{path}: columns {table.columns.tolist()}, expected {list(PAPER_COLUMNS)}")
    return pd.concat(tables, ignore_index=True).astype({"value": float})


def read_table(path: Path | str) -> pd.DataFrame:
    """Return a table in long form (`COLUMNS`) from a CSV of `write_table`."""
    types: Any = {**dict.fromkeys(("table", "row", "column", "seeds"), str), "n": "Int64"}
    empty = {name: [""] for name in (*NUMBERS, "n")}
    return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=empty)


def build_table(layout: Mapping[str, Any], paper: pd.DataFrame) -> pd.DataFrame:
    """Return the layout's table in long form: a row per cell, `COLUMNS`, in percent, missing values empty.

    layout: `name`; `title` (default: the name); `paper` (names of printed tables); `dataset`; `note`;
    `columns`; `types` (column -> branch, in tables of a selection module's choices, else None);
    `summaries` (each with its `column` and, as `method`, the function `module:name`); `rows`, each with
    `label`, `seeds` and `cells` (column -> paths of predictions, one per seed), `audits` (column -> paths of the
    audits of white-box sets), and `history` (path of a model's training history) if the table shows sizes.
    Columns may be missing in `cells`; such a row has no summaries.
    paper: the printed numbers (`read_paper`). `difference` is measured - paper.
    """
    check_layout(layout)
    printed = printed_values(layout, paper)
    records = [record for row in layout["rows"] for record in row_records(layout, row, printed)]
    table = pd.DataFrame(records, columns=list(COLUMNS))
    return table.astype({**dict.fromkeys(NUMBERS, float), "n": "Int64"})


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
    layout: Mapping[str, Any], row: Mapping[str, Any], printed: Mapping[tuple[str, str], float]
) -> list[dict[str, Any]]:
    """Return the rows in long form for one row of the table."""
    cells = measured_cells(f"table {layout['name']}, row {row['label']}", layout, row)
    records = size_records(layout, row, printed)
    for column in [*layout["columns"], *summary_columns(layout)]:
        record = {"table": layout["name"], "row": row["label"], "column": column, "seeds": ""}
        record["paper"] = printed.get((row["label"], column))
        if cell := cells.get(column):
            record.update(measured=cell.measured, low=cell.low, high=cell.high, n=cell.n)
            record["seeds"] = " ".join(map(str, row["seeds"]))
            record["difference"] = None if record["paper"] is None else cell.measured - record["paper"]
        records.append(record)
    return records


def size_records(
    layout: Mapping[str, Any], row: Mapping[str, Any], printed: Mapping[tuple[str, str], float]
) -> list[dict[str, Any]]:
    """Return the row's record in column `PARAMETERS`, in millions; empty if the table does not show sizes."""
    if not row.get("history"):
        return []
    measured, paper = int(pd.read_csv(row["history"])[PARAMETERS][0]) / 1e6, printed.get((row["label"], PARAMETERS))
    record = {"table": layout["name"], "row": row["label"], "column": PARAMETERS, "seeds": "", "paper": paper}
    return [record | {"measured": measured, "difference": None if paper is None else measured - paper}]


def measured_cells(where: str, layout: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Cell]:
    """Return column -> cell for the columns of the row and, if it has all of them, for the summaries."""
    read = {column: read_seeds(where, row, column) for column in layout["columns"] if row["cells"].get(column)}
    if types := layout.get("types"):
        read = {column: [as_selections(table, types[column]) for table in seeds] for column, seeds in read.items()}
    cells = {
        column: over_seeds([accuracy(predictions) for predictions in seeds], clips_in(where, seeds))
        for column, seeds in read.items()
    }
    if read and len(read) == len(layout["columns"]):
        clips_in(where, [predictions for seeds in read.values() for predictions in seeds])
        cells |= {each["column"]: summary_cell(each["method"], read) for each in layout["summaries"]}
    return cells


def read_seeds(where: str, row: Mapping[str, Any], column: str) -> list[pd.DataFrame]:
    paths = row["cells"][column]
    if len(paths) != len(row["seeds"]):
        raise PipelineError(f"{where}: column {column} has {len(paths)} predictions for {len(row['seeds'])} seeds")
    return [read_predictions(path) for path in paths]


def as_selections(predictions: pd.DataFrame, branch: str) -> pd.DataFrame:
    """Predictions of a selection module: all labels are 1, and the prediction is 1 if `branch` was selected."""
    return predictions.assign(label=1, prediction=(predictions["selected"] == branch).astype(int))


def summary_columns(layout: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that summarize the others."""
    return [summary["column"] for summary in layout["summaries"]]


def summary_cell(method: str, read: Mapping[str, Sequence[pd.DataFrame]]) -> Cell:
    """Return a summary of all columns, calculated for each seed on its own.

    method: `module:function`. PipelineError if it returns no `Estimate`.
    """
    function = load(method)
    by_seed = [dict(zip(read, predictions, strict=True)) for predictions in zip(*read.values(), strict=True)]
    estimates = [function(correct_clips(predictions)) for predictions in by_seed]
    for found in estimates:
        if not isinstance(found, Estimate):
            raise PipelineError(f"summary {method}: returned {found!r}, expected an Estimate (reporting/metrics.py)")
    return envelope(estimates)


def clips_in(where: str, predictions: Sequence[pd.DataFrame]) -> int:
    """Return the number of clips. Raises PipelineError if the predictions have different ones."""
    counts = {str(table.attrs["path"]): len(table) for table in predictions}
    if len(set(counts.values())) != 1:
        raise PipelineError(f"{where}: predictions have different numbers of clips: {counts}")
    return next(iter(counts.values()))


def write_table(
    table: pd.DataFrame, layout: Mapping[str, Any], *, csv: Path, markdown: Path, latex: Path, html: Path
) -> None:
    """Write the table: long form as CSV (four decimals); wide as Markdown, LaTeX (booktabs) and an HTML page.

    A dagger in the wide forms marks numbers that do not measure robustness according to an audit.
    """
    publish(csv, table.round(4).to_csv(index=False, lineterminator="\n"))
    table = with_faults(table, layout)
    name, about = layout["name"], caption(table, layout)
    title = layout.get("title", name)
    publish(markdown, formats.markdown(title, about, wide(table, formats.text_cell)))
    publish(latex, formats.latex(name, f"{title}. {about}", formats.with_paper_rows(wide(table, dict))))
    publish(html, formats.html_page(title, about, wide(with_best(table), formats.html_cell)))


def caption(table: pd.DataFrame, layout: Mapping[str, Any]) -> str:
    """Return the caption: data set, clips, seeds, interval, printed table, note."""
    clips = " to ".join(map(str, sorted({*table["n"].dropna().aggregate(["min", "max"]).dropna()})))
    seeds = "; ".join(sorted({*table["seeds"]} - {""}))
    what = "Selections of the correct branch" if layout.get("types") else "Accuracy"
    about = f"{what} in percent on {layout['dataset']}, n = {clips or 0} clips, seeds {seeds or 'none'}."
    about += " In brackets the 95 % Wilson interval (envelope over seeds)."
    if PARAMETERS in set(table["column"]):
        about += " Parameters in millions."
    if layout["paper"]:
        about += f" Paper: the value printed in table {' or '.join(layout['paper'])}."
    return " ".join(filter(None, (about, fault_note(table), layout["note"])))


def wide(table: pd.DataFrame, cell: Callable[[Mapping[Any, Any]], Any]) -> pd.DataFrame:
    """Return rows x columns of `cell(record)`, in the table's order; the index is named "model"."""
    cells: dict[str, dict[str, Any]] = {}
    for record in table.to_dict("records"):
        cells.setdefault(record["row"], {})[record["column"]] = cell(record)
    return pd.DataFrame.from_dict(cells, orient="index").rename_axis("model")


def with_best(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column `best`: whether the rounded accuracy, without faults, is the column's largest."""
    sound = table["faults"] == "" if "faults" in table else True
    shown = table["measured"].where((table["column"] != PARAMETERS) & sound).round(1)
    return table.assign(best=shown == shown.groupby(table["column"]).transform("max"))
