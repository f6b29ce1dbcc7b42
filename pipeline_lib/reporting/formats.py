"""Formats cells as text, and wide tables as Markdown, LaTeX and HTML. A wide table's index is its first column."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from pipeline_lib.reporting.chance import NOT_ABOVE_CONSTANT
from pipeline_lib.reporting.html_tables import legend, scrolled_table
from pipeline_lib.reporting.marks import CONSTANT_MARK, DAGGER, GUESS_MARK, WEAK_MARK, with_marks
from pipeline_lib.reporting.page_script import SCRIPT
from pipeline_lib.reporting.page_style import STYLE
from pipeline_lib.reporting.paired import LEVEL

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\^{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}

ARROW = "\u2192"
NOT_COMPUTED = "not computed"


def number(value: float) -> str:
    """Return the number with one decimal, or two if it has them (MultAV, OUDefend and Halftone print two)."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def measured_text(record: Mapping[str, Any]) -> str:
    """Return the number with its interval; of a partial table also NOT_COMPUTED, where the number is not there yet."""
    if pd.isna(record["measured"]):
        return NOT_COMPUTED if record.get("absent") else ""
    if pd.isna(record["low"]):  # a size in millions has no interval
        return f"{record['measured']:.3g}"
    spread = "" if pd.isna(record.get("sd")) else f" sd {record['sd']:.1f}"
    return f"{accuracy_text(record)} [{record['low']:.1f}, {record['high']:.1f}]{spread}"


def accuracy_text(record: Mapping[str, Any]) -> str:
    """Return the accuracy, with a dagger if it has faults according to an audit, and marks of `chance`, of a weak
    attack, and of a selection module that only guesses."""
    if pd.isna(record["measured"]):
        return ""
    marks = marks_of(record.get("faults"), record.get("flag")) + (WEAK_MARK if record.get("weak") else "")
    marks += GUESS_MARK if record.get("guesses") else ""
    return f"{record['measured']:.1f}{marks}"


def marks_of(faults: str | None, flag: str | None) -> str:
    return (DAGGER if faults else "") + (CONSTANT_MARK if NOT_ABOVE_CONSTANT in (flag or "") else "")


def paper_text(record: Mapping[str, Any]) -> str:
    return f"(paper {printed_text(record)})" if printed_text(record) else ""


def printed_text(record: Mapping[str, Any]) -> str:
    return "" if pd.isna(record["paper"]) else number(record["paper"])


def worst_text(record: Mapping[str, Any]) -> str:
    """Return the worst case with its interval, empty if there is none; NOT_COMPUTED as in `measured_text`."""
    if pd.isna(record.get("worst")):
        return NOT_COMPUTED if record.get("worst_absent") else ""
    marks = marks_of(record.get("worst_faults"), record.get("worst_flag"))
    return f"{record['worst']:.1f}{marks} [{record['worst_low']:.1f}, {record['worst_high']:.1f}]"


def weak_text(record: Mapping[str, Any]) -> str:
    """Return for a weak attack what falls in the worst case."""
    return f"weak: {fall_text(record)}" if record.get("weak") else ""


def fall_text(record: Mapping[str, Any]) -> str:
    """Return what falls in the worst case: a number of clips, of several seeds their mean; of a mean of columns points
    of percent. Empty for a summary without scores."""
    if pd.isna(record["more_fall"]):
        return "" if pd.isna(record["fall"]) else f"{record['fall']:.1f} percentage points lower"
    clips, seeds = record["more_fall"], len(record["seeds"].split())
    return f"{clips:,.{int(clips % 1 > 0)}f} clips more fall" + (f" (mean of {seeds} seeds)" if seeds > 1 else "")


def difference_text(record: Mapping[str, Any]) -> str:
    """Return for example `+4.4*`: signed, with a dagger for faults and an asterisk for a decided difference."""
    marks = (DAGGER if record["faults"] else "") + ("*" if record["p_holm"] < LEVEL else "")
    points = round(record["difference"], 1)
    return f"{points:+.1f}{marks}".replace("-", "\u2212") if points else f"0.0{marks}"


def interval_text(record: Mapping[str, Any]) -> str:
    return "" if pd.isna(record["low"]) else f"[{record['low']:.1f}, {record['high']:.1f}]".replace("-", "\u2212")


def pair_text(record: Mapping[str, Any]) -> str:
    """Return the difference to the row's pair, for example `+5.4* [3.1, 7.7], paper +5.39`; empty if there is none."""
    if pd.isna(record.get("minus")):
        return ""
    names = {"difference": "minus", "low": "minus_low", "high": "minus_high", "p_holm": "minus_p"}
    own = {name: record[column] for name, column in names.items()} | {"faults": record["minus_faults"]}
    here = " ".join(filter(None, (difference_text(own), interval_text(own))))
    printed = record["paper_minus"]
    return here if pd.isna(printed) else f"{here}, paper {printed:+.2f}".replace("paper -", "paper \u2212")


def text_cell(record: Mapping[str, Any]) -> str:
    """Return for example `49.0 [45.1, 52.9] \u2192 20.4 [13.9, 28.9] (+5.4 [3.1, 7.7]) (paper 49.0)`; missing values
    are left out."""
    worst = f"{ARROW} {worst_text(record)}" if worst_text(record) else ""
    pair = f"({pair_text(record)})" if pair_text(record) else ""
    return " ".join(filter(None, (measured_text(record), worst, pair, paper_text(record))))


def with_rows_below(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the measured rows; below each, rows "(worst case)", "(difference)" and "(paper)", if it has such values.

    wide: cells are records of the long form. For pages, on which cells with all values are too wide.
    """
    below = {"(worst case)": worst_text, "(difference)": pair_text, "(paper)": printed_text}
    labels: list[str] = []
    rows: list[list[str]] = []
    for label, records in zip(wide.index, wide.to_numpy(), strict=True):
        texts = {name: list(map(text, records)) for name, text in below.items()}
        shown = {name: cells for name, cells in texts.items() if any(cells)}
        labels += [label, *shown]
        rows += [list(map(measured_text, records)), *shown.values()]
    return pd.DataFrame(rows, pd.Index(labels, name=str(wide.index.name)), wide.columns)


def markdown(title: str, caption: str, wide: pd.DataFrame) -> str:
    """Return a GitHub table under its title, with the caption below it."""
    headers = [escape_markdown(name) for name in (wide.index.name, *wide.columns)]
    index = [escape_markdown(label) for label in wide.index]
    cells = wide.map(escape_markdown)
    body = tabulate(cells, headers=headers, showindex=index, tablefmt="github", disable_numparse=True)
    return f"### {escape_markdown(title)}\n\n{body}\n\n{escape_markdown(caption)}\n"


def escape_markdown(text: object) -> str:
    r"""Return the text with a backslash before markup characters: \ | * _ ` < >."""
    return "".join(f"\\{character}" if character in "\\|*_`<>" else character for character in str(text))


def latex(title: str, caption: str, wide: pd.DataFrame) -> str:
    r"""Return a `table` for `\usepackage{booktabs,adjustbox}`, at most as wide as the text; label `tab:<title>`."""
    headers = [str(name) for name in (wide.index.name, *wide.columns)]
    body = tabulate(wide, headers=headers, tablefmt="latex_booktabs", disable_numparse=True)
    lines = [r"\begin{table}", r"\centering", r"\footnotesize", rf"\caption{{{escape_latex(caption)}}}"]
    lines += [rf"\label{{tab:{title}}}", r"\begin{adjustbox}{max width=\textwidth}", body, r"\end{adjustbox}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escape_latex(text: str) -> str:
    """Return the text with LaTeX's special characters escaped, as `tabulate` does in cells."""
    return "".join(LATEX_ESCAPES.get(character, character) for character in text)


def html_page(title: str, caption: str, wide: pd.DataFrame, notes: Iterable[str] = ()) -> str:
    """Return a page with one table, and the explanations of its marks below it."""
    return page(title, html_table(caption, wide, notes))


def html_table(caption: str, wide: pd.DataFrame, notes: Iterable[str] = ()) -> str:
    """Return a table below its caption. Cells are HTML already, or `html_tables.HtmlCell`; the rest is escaped."""
    about = f"<p>{with_marks(caption)}</p>\n" if caption else ""
    return f"{about}{scrolled_table(wide)}\n{legend(notes)}"


def page(title: str, body: str, style: str = "") -> str:
    """Return a self-contained HTML page, light and dark, without external files, for use in a frame of a report."""
    script = f"<script>{SCRIPT}</script>\n" if "<table" in body else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        f'<h1 dir="auto">{html.escape(title)}</h1>\n{body}\n{script}</body>\n</html>\n'
    )
