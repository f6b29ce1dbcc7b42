"""Writes a table in long form as CSV, and as wide tables in Markdown, LaTeX and HTML."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.configuration.layout_keys import clips_of_each_video, units_of
from pipeline_lib.entries.methods import SUMMARIES
from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.cells import Numbers
from pipeline_lib.reporting.chance import chance_notes, with_marked_rows
from pipeline_lib.reporting.facts import Facts
from pipeline_lib.reporting.faults import fault_note, with_faults
from pipeline_lib.reporting.html_cells import html_cell
from pipeline_lib.reporting.long_form import long_form
from pipeline_lib.reporting.pairs import pair_notes
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.selectors import guess_note, with_guesses
from pipeline_lib.reporting.statements import STYLE, as_html, as_markdown, statements_of, with_latex
from pipeline_lib.reporting.tables import PARAMETERS
from pipeline_lib.reporting.worst_cases import worst_notes

MEANS = {SUMMARIES[name] for name in ("mean", "avg_adv")}
BOLD = "Bold: not below the best of its column (exact paired test over {}, Holm's correction, 5 %)."


def write_table(
    table: pd.DataFrame,
    layout: Mapping[str, Any],
    measured: Facts | None = None,
    numbers: Numbers | None = None,
    *,
    csv: Path,
    markdown: Path,
    latex: Path,
    html: Path,
) -> None:
    """Write the table: long form as CSV (four decimals); wide as Markdown, LaTeX (booktabs) and an HTML page.

    Marks in the wide forms: numbers that do not measure robustness according to an audit (`faults`), numbers that are
    not above a constant answer, and rows whose model has learned nothing (`chance`), and numbers of models whose
    selection module only guesses (`selectors`). Unbeaten numbers are bold in HTML.

    measured: what was measured, stated below the wide forms and beside the rows of the long one (`statements`,
    `long_form`). numbers: those of each seed are rows of the long form.
    """
    long = spelled_out(long_form(table, numbers, measured or {}).round(4))
    publish(csv, long.to_csv(index=False, lineterminator="\n"))
    below = statements_of(layout, measured or {})
    # Rounded as in the CSV, which the charts read: 65.15, one of several floats, has the same decimal in both.
    table = with_marked_rows(with_guesses(with_faults(table.round(4), layout), layout))
    name, about = layout["name"], caption(table, layout)
    title = layout.get("title", name)
    publish(markdown, formats.markdown(title, about, wide(table, formats.text_cell)) + as_markdown(below))
    text = formats.latex(name, f"{title}. {about}", formats.with_rows_below(wide(table, dict)))
    publish(latex, with_latex(text, below))
    cells = wide(table, lambda record: html_cell(record, layout))
    body = formats.html_table(
        facts(table, layout), cells, [*notes(table, layout), BOLD.format(units_of(layout)), layout["note"]]
    )
    publish(html, formats.page(title, f"{body}\n{as_html(below)}", STYLE))


def spelled_out(table: pd.DataFrame) -> pd.DataFrame:
    """Return a partial table in long form with words in place of the numbers that are not computed."""
    for name, absent in (("measured", "absent"), ("worst", "worst_absent")):
        if absent in table and name in table:
            words = table[name].astype(object).mask(table[absent].eq(True), formats.NOT_COMPUTED)
            table = table.assign(**{name: words})
    return table.drop(columns=["absent", "worst_absent"], errors="ignore")


def caption(table: pd.DataFrame, layout: Mapping[str, Any]) -> str:
    """Return the caption: its facts, marks and chance, note."""
    return " ".join(filter(None, (facts(table, layout), *notes(table, layout), layout["note"])))


def facts(table: pd.DataFrame, layout: Mapping[str, Any]) -> str:
    """Return data set, clips, seeds, interval and printed table in words."""
    clips = " to ".join(map(str, sorted({*table["n"].dropna().aggregate(["min", "max"]).dropna()})))
    seeds = seeds_in_words(*sorted({*table["seeds"]}))
    what = "Selections of the correct branch" if layout.get("types") else "Accuracy"
    about = f"{what} in percent on {layout['dataset']}, n = {clips or 0} clips, {seeds}."
    about += f" In brackets the 95 % interval ({interval_note(table, layout)})."
    if PARAMETERS in set(table["column"]):
        about += " Parameters in millions."
    if layout["paper"]:
        about += f" Paper: the value printed in table {' or '.join(layout['paper'])}."
    return about


def notes(table: pd.DataFrame, layout: Mapping[str, Any]) -> list[str]:
    """Return the explanations of what the table shows beside its numbers, one for each mark."""
    of_tests = [*worst_notes(table, units_of(layout)), *pair_notes(table, units_of(layout))]
    found = [*of_tests, fault_note(table), *chance_notes(table), guess_note(table)]
    return [note for note in found if note]


def interval_note(table: pd.DataFrame, layout: Mapping[str, Any]) -> str:
    """Return which interval a table shows, and how several seeds are combined."""
    clips = clips_of_each_video(layout)
    note = "Wilson" if clips == 1 else f"Wilson, by the variance between videos, of {clips} clips each"
    if any(summary["method"] in MEANS for summary in layout["summaries"]):
        note += "; of means, from the Wilson limits of the columns and their correlations"
    return f"{note}; envelope over seeds, then sd, the standard deviation over seeds" if table["sd"].any() else note


def wide(table: pd.DataFrame, cell: Callable[[Mapping[Any, Any]], Any]) -> pd.DataFrame:
    """Return rows x columns of `cell(record)`, in the table's order; the index is named "model"."""
    cells: dict[str, dict[str, Any]] = {}
    for record in table.to_dict("records"):
        cells.setdefault(record["row"], {})[record["column"]] = cell(record)
    return pd.DataFrame.from_dict(cells, orient="index").rename_axis("model")
