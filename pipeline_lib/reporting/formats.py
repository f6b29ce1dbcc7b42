"""Formats cells as text, and wide tables as Markdown, LaTeX and HTML. A wide table's index is its first column."""

import html
from collections.abc import Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from pipeline_lib.reporting.chance import MARK, NOT_ABOVE_CONSTANT

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\^{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}

DAGGER = "\u2020"
WEAK_MARK = "\u00b6"
GUESS_MARK = "\u2016"
ARROW = "\u2192"

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; color: #1c2530;
       background: #fff; margin: 1.6rem auto; padding: 0 1.2rem; max-width: 76rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p { max-width: 60rem; margin: .3rem 0 1rem; color: #46515e; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; border-bottom: 2px solid #1c2530; }
th, td { padding: .4rem .85rem; text-align: right; vertical-align: top; white-space: nowrap; }
thead th { border-top: 2px solid #1c2530; border-bottom: 1px solid #1c2530; font-weight: 600;
           white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; font-weight: 600; padding-left: .3rem; }
tbody tr + tr td { border-top: 1px solid #e3e7ec; }
small { display: block; font-size: .78rem; font-weight: 400; color: #5b6673; }
small.worst { color: #a83200; }
small.paper { color: #0b5e92; }
"""


def number(value: float) -> str:
    """Return the number with one decimal, or two if it has them (MultAV, OUDefend and Halftone print two)."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def measured_text(record: Mapping[str, Any]) -> str:
    if pd.isna(record["measured"]):
        return ""
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
    return (DAGGER if faults else "") + (MARK if NOT_ABOVE_CONSTANT in (flag or "") else "")


def paper_text(record: Mapping[str, Any]) -> str:
    return "" if pd.isna(record["paper"]) else f"(paper {number(record['paper'])})"


def worst_text(record: Mapping[str, Any]) -> str:
    """Return the worst case with its interval, empty if there is none."""
    if pd.isna(record.get("worst")):
        return ""
    marks = marks_of(record.get("worst_faults"), record.get("worst_flag"))
    return f"{record['worst']:.1f}{marks} [{record['worst_low']:.1f}, {record['worst_high']:.1f}]"


def weak_text(record: Mapping[str, Any]) -> str:
    """Return how many clips more fall in the worst case, for a weak attack."""
    return f"weak: {record['more_fall']:.3g} clips more fall" if record.get("weak") else ""


def text_cell(record: Mapping[str, Any]) -> str:
    """Return for example `49.0 [45.1, 52.9] \u2192 20.4 [13.9, 28.9] (paper 49.0)`; missing values are left out."""
    worst = f"{ARROW} {worst_text(record)}" if worst_text(record) else ""
    return " ".join(filter(None, (measured_text(record), worst, paper_text(record))))


def html_cell(record: Mapping[str, Any]) -> str:
    """Return the number, bold if `best`, above its interval, the worst case (bold if `worst_best`) and the printed
    value."""
    measured, _, interval = measured_text(record).partition(" ")
    parts = [f"<b>{measured}</b>" if record["best"] else measured or "\u2013"]
    parts += [f"<small>{interval}</small>"] if interval else []
    parts += [f'<small class="worst">{worst_html(record)}</small>'] if worst_text(record) else []
    parts += [f'<small class="worst">{weak_text(record)}</small>'] if weak_text(record) else []
    parts += [f'<small class="paper">{paper_text(record)[1:-1]}</small>'] if paper_text(record) else []
    return "".join(parts)


def worst_html(record: Mapping[str, Any]) -> str:
    worst, _, interval = worst_text(record).partition(" ")
    return f"worst {f'<b>{worst}</b>' if record['worst_best'] else worst} {interval}"


def with_rows_below(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the measured rows; below each one a row "(worst case)" and a row "(paper)", if it has such values.

    wide: cells are records of the long form. For pages, on which cells with all values are too wide.
    """
    worst = wide.map(worst_text).rename(index=lambda _: "(worst case)")
    printed = wide.map(lambda record: paper_text(record)[7:-1]).rename(index=lambda _: "(paper)")
    rows = []
    for row in range(len(wide)):
        below = [each.iloc[[row]] for each in (worst, printed)]
        rows += [wide.map(measured_text).iloc[[row]], *(each for each in below if (each != "").any(axis=None))]
    return pd.concat(rows).rename_axis(str(wide.index.name))


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


def html_page(title: str, caption: str, wide: pd.DataFrame) -> str:
    """Return a page with one table."""
    return page(title, html_table(caption, wide))


def html_table(caption: str, wide: pd.DataFrame) -> str:
    """Return a table below its caption. Cells are HTML already; caption, index and column names are escaped."""
    headers = [html.escape(str(name)) for name in (wide.index.name, *wide.columns)]
    index = [html.escape(str(label)) for label in wide.index]
    body = tabulate(wide, headers=headers, showindex=index, tablefmt="unsafehtml", disable_numparse=True)
    return f'<p>{html.escape(caption)}</p>\n<div class="scroll">\n{body}\n</div>'


def page(title: str, body: str, style: str = "") -> str:
    """Return a self-contained HTML page, without scripts and external files, for use in a sandboxed frame."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
