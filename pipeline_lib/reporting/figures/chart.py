"""The chart of a study's table, made automatically: measured accuracies with intervals, and printed ones."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline_lib.configuration.audited_sets import sets_of_sources, sets_on_target
from pipeline_lib.configuration.figures import FigurePlan
from pipeline_lib.configuration.files import Cell, File
from pipeline_lib.configuration.layout_keys import units_of, worst_of

WORST = "#a83200"
LETTERS = 24  # of a label in one line
LABELS, PANEL = 1.4, 0.8  # inches
Cells = Mapping[str, Sequence[Mapping[str, Any]]]

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def draw_table(table: pd.DataFrame, title: str = "", note: str = "", quantity: str = "accuracy (%)") -> Figure:
    """Return a table in long form as panels per column and lines per row, 0 to 100 % on every axis.

    Columns that do not fit side by side follow below. A table of more than `chart_map.MOST_CELLS` is a map of colors.

    table: of `tables.build_table`, or of `faults.with_faults`, which marks numbers. title: default, the table's name.
    note: at the bottom. quantity: what the numbers are, with its unit.
    """
    from pipeline_lib.reporting.figures.chart_map import MOST_CELLS, draw_map
    from pipeline_lib.reporting.style import legend_columns, new_figure, width, wrapped
    from pipeline_lib.reporting.tables import PARAMETERS

    table = table[table["column"] != PARAMETERS]
    if len(table) > MOST_CELLS:
        return draw_map(table, title or table["table"].iloc[0], note, quantity)
    rows, columns = list(table["row"].unique()), list(table["column"].unique())
    down = -(-len(columns) // max(1, int((width() - LABELS) / PANEL)))
    side = -(-len(columns) // down)
    heading, note = wrapped(f"{title or table['table'].iloc[0]}: {quantity}", width(), 10), wrapped(note, width())
    lines = sum(textwrap.fill(row, LETTERS).count("\n") for row in rows)
    height = (0.36 if "worst" in table else 0.25) * len(rows) + 0.1 * lines + 0.5
    kinds = table_legend(table)
    columns_of_legend = legend_columns([str(kind.get_label()) for kind in kinds])
    below = 0.3 + 0.13 * (note.count("\n") + 1) + 0.15 * -(-len(kinds) // columns_of_legend)
    figure = new_figure(width(), down * height + below + 0.2 * heading.count("\n") + 0.15)
    panels = list(figure.subplots(down, side, sharey=True, squeeze=False, gridspec_kw={"wspace": 0.1}).flat)
    for unused in panels[len(columns) :]:
        unused.set_visible(False)
    for record in table.to_dict("records"):
        panel, height = panels[columns.index(record["column"])], rows.index(record["row"])
        draw_cell(panel, height, record, "bold" if record["best"] else "normal")
        draw_worst(panel, height, record)
    for panel, column in zip(panels, columns, strict=False):
        finish_column(panel, column, rows, side)
    figure.suptitle(heading, x=0.01, ha="left", weight="bold", size=9)
    place: dict[str, Any] = {"loc": "outside lower left", "alignment": "left", "ncols": columns_of_legend}
    figure.legend(handles=kinds, title=note or None, **place)
    return figure


def draw_cell(panel: Axes, height: int, record: Mapping[Any, Any], weight: str) -> None:
    """Draw the measured value as a bar with interval and number, and the printed one as a diamond."""
    from pipeline_lib.reporting.formats import accuracy_text, worst_text
    from pipeline_lib.reporting.style import MEASURED

    measured = record["measured"]
    panel.barh(height, measured, height=0.62, color=MEASURED, alpha=0.22)
    panel.plot([record["low"], record["high"]], [height, height], color=MEASURED, linewidth=1.4)
    panel.plot(measured, height, "o", color=MEASURED, markersize=4, clip_on=False)
    panel.plot(record["paper"], height, "D", **printed_style(), clip_on=False)
    above = 5 if worst_text(record) else 0
    annotate(panel, height, above, accuracy_text(record) or "\u2013", weight=weight)


def draw_worst(panel: Axes, height: int, record: Mapping[Any, Any]) -> None:
    """Draw the worst case, if there is one, as a darker bar with interval and number."""
    from pipeline_lib.reporting.formats import worst_text

    if text := worst_text(record):
        worst = record["worst"]
        panel.barh(height, worst, height=0.62, color=WORST, alpha=0.3)
        panel.plot([record["worst_low"], record["worst_high"]], [height + 0.2] * 2, color=WORST, linewidth=1.4)
        panel.plot(worst, height + 0.2, "s", color=WORST, markersize=3.5, clip_on=False)
        weight = "bold" if record["worst_best"] else "normal"
        annotate(panel, height, -5, text.partition(" ")[0], weight=weight, color=WORST)


def annotate(panel: Axes, height: int, above: float, text: str, **style: Any) -> None:
    """Write a number at the right of a row, `above` its middle in points."""
    place: dict[str, Any] = {"xy": (1, height), "xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    panel.annotate(text, xytext=(33, above), ha="right", va="center", size=8, **place, **style)


def finish_column(panel: Axes, column: str, rows: Sequence[str], side: int) -> None:
    """Set titles and axes of a panel, one of `side` panels side by side."""
    from pipeline_lib.reporting.style import INK

    panel.set_title(textwrap.fill(column.replace("_", " "), 11), size=8)
    panel.set_xlim(0, 100)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xticks([0, 50, 100], ["0", "50" if side <= 5 else "", "100"])
    panel.set_yticks(range(len(rows)), [textwrap.fill(row, LETTERS) for row in rows], color=INK, size=8)
    panel.tick_params(length=0)
    panel.tick_params(axis="x", labelsize=8)
    panel.spines["bottom"].set_visible(False)
    panel.set_axisbelow(True)
    panel.grid(axis="x")


def printed_style() -> dict[str, Any]:
    """Return the marker style of printed values."""
    from pipeline_lib.reporting.style import PALETTE

    return {"markersize": 4.5, "markerfacecolor": "none", "markeredgecolor": PALETTE[1]}


def table_legend(table: pd.DataFrame) -> list[Line2D]:
    """Return the legend's entries for what the table has."""
    from matplotlib.lines import Line2D

    from pipeline_lib.reporting.style import MEASURED

    kinds = [Line2D([], [], color=MEASURED, marker="o", markersize=4, label="measured, with its 95 % interval")]
    if "worst" in table:
        kinds += [Line2D([], [], color=WORST, marker="s", markersize=3.5, label="worst case in the same bound")]
    if table["paper"].notna().any():
        kinds += [Line2D([], [], linestyle="", marker="D", **printed_style(), label="printed in the paper")]
    return kinds


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One study.

    study: name of the study.
    title: above the chart.
    dataset: of the study, the first of several.
    """

    study: str
    title: str
    dataset: str

    @property
    def caption(self) -> str:
        return f"{self.title}. Measured accuracies with their 95 % intervals beside the values printed in the paper."

    def needs(self, plan: FigurePlan) -> dict[str, Any]:
        """The table, and in the layout of `faults.with_faults` and `selectors.with_guesses` the audits of the sets, and
        the histories of selection modules."""
        study = plan.study("study", self.study)
        worst, datasets = worst_of(study), study["datasets"]
        rows = [
            _row(label, row, worst.get(label, {}), datasets)
            | {"selectors": {column: plan.selector_histories(cells, datasets) for column, cells in row.items()}}
            for label, row in study["rows"].items()
        ]
        several = {"clips_by_video": clips} if (clips := plan.clips_by_video) > 1 else {}
        words = "selections of the correct branch (%)" if study.get("types") else "accuracy (%)"
        return several | {
            "table": plan.table(self.study),
            "rows": rows,
            "summaries": study["summaries"],
            "quantity": f"{words} on {study['dataset']}",
        }

    def draw(self, files: Mapping[str, Any]) -> Figure:
        from pipeline_lib.reporting.chance import chance_note, with_marked_rows
        from pipeline_lib.reporting.faults import fault_note, with_faults
        from pipeline_lib.reporting.selectors import guess_note, with_guesses
        from pipeline_lib.reporting.tables import read_table
        from pipeline_lib.reporting.worst_cases import worst_note

        table = with_guesses(with_faults(read_table(files["table"]), files), files)
        notes = (worst_note(table, units_of(files)), fault_note(table), chance_note(table), guess_note(table))
        note = " ".join(filter(None, notes))
        return draw_table(with_marked_rows(table), self.title, note, files["quantity"])

    def numbers(self, files: Mapping[str, Any]) -> pd.DataFrame:
        """The table in long form, with the faults that mark its numbers."""
        from pipeline_lib.reporting.faults import with_faults
        from pipeline_lib.reporting.tables import read_table

        return with_faults(read_table(files["table"]), files)


def _row(label: str, row: Cells, worst: Cells, datasets: Sequence[str]) -> dict[str, Any]:
    beside = {column: {"audits": _audits(sets_on_target(datasets, cells))} for column, cells in worst.items()}
    audits = {column: _audits(sets_on_target(datasets, cells)) for column, cells in row.items()}
    sources = {column: _audits(sets_of_sources(datasets, cells)) for column, cells in row.items()}
    further: dict[str, Any] = {"worst": beside} if beside else {}
    further |= {"source_audits": sources} if any(sources.values()) else {}
    return {"label": label, "audits": audits} | further


def _audits(sets: Sequence[Cell]) -> list[File]:
    return [one.audit for one in sets]
