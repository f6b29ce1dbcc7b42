"""The lists below a table: what each column's attack is, each row's model, and the data, from `facts`."""

import html as markup
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.reporting.facts import WORST, Fact, Facts
from pipeline_lib.reporting.formats import escape_latex, escape_markdown

UNKNOWN = "There is no record of what these numbers were measured by: attacks, models and data are not stated."
PARTLY = "There is no record of what was measured in: {}."
STYLE = """
section.facts { font-size: .82rem; color: var(--muted); }
section.facts h2 { font-size: .95rem; margin: 1.1rem 0 .2rem; color: var(--ink); }
section.facts ul { margin: 0; padding-left: 1.1rem; }
section.facts li { margin: .15rem 0; overflow-wrap: anywhere; }
section.facts b { color: var(--ink); }
"""


@dataclass(frozen=True, kw_only=True)
class Statements:
    """Lists by their headings; an item is a label and its text. notes: sentences below the lists."""

    lists: Mapping[str, Sequence[tuple[str, str]]]
    notes: Sequence[str] = ()


def statements_of(layout: Mapping[str, Any], facts: Facts) -> Statements:
    """Return the lists "Columns", "Rows" and "Data" of a table; without any record a note only.

    A column with several attacks, or a row with several models, has one item for each, which names where it is.
    """
    known = {key: [one for one in found if one] for key, found in facts.items()}
    if not any(known.values()):
        return Statements(lists={}, notes=[UNKNOWN])
    columns = dict.fromkeys(column for _, column in known)
    lists = {
        "Columns": [item for column in ordered(layout, columns) for item in of_column(column, known)],
        "Rows": [item for row in layout["rows"] for item in of_row(row, known)],
        "Data": grouped("clips", {key: [one.data for one in found] for key, found in known.items()}, " / ".join),
    }
    missing = [" / ".join(key) for key, found in facts.items() if not all(found)]
    return Statements(lists=lists, notes=[PARTLY.format("; ".join(missing))] if missing else [])


def ordered(layout: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    """Return the columns in the order of the table, each before its worst case."""
    places = {name: number for number, name in enumerate(layout["columns"])}
    places |= {WORST.format(name): number for name, number in places.items()}
    return sorted(columns, key=lambda column: places.get(column, len(places)))


def of_column(column: str, facts: Mapping[tuple[str, str], Sequence[Fact]]) -> list[tuple[str, str]]:
    """Return the items of a column: its attacks, with the rows that each is used in if there are several."""
    texts = {key: [one.attack for one in found] for key, found in facts.items() if key[1] == column}
    return grouped(column, texts, lambda key: key[0])


def of_row(row: Mapping[str, Any], facts: Mapping[tuple[str, str], Sequence[Fact]]) -> list[tuple[str, str]]:
    """Return the items of a row: its models, with the columns that each is used in if there are several."""
    own = {key: found for key, found in facts.items() if key[0] == row["label"]}
    seeds = f"; {seeds_in_words(' '.join(map(str, row['seeds'])))}"
    texts = {key: [one.model + seeds + branch_words(key, own) for one in found] for key, found in own.items()}
    return grouped(row["label"], texts, lambda key: key[1])


def branch_words(key: tuple[str, str], own: Mapping[tuple[str, str], Sequence[Fact]]) -> str:
    """Return the branches that answer in the columns of a row whose columns have the same model, empty without any."""
    models = {one.model for one in own[key]}
    same = {column: found[0].branch for (_, column), found in own.items() if found and found[0].model in models}
    if not any(same.values()):
        return ""
    if len({*same.values()}) == 1:
        return f"; branch {next(iter(same.values()))}"
    words = [f"{branch or 'of all'} in {column}" for column, branch in same.items()]
    return f"; branches {', '.join(words)}"


def grouped(label: str, texts: Mapping[tuple[str, str], Sequence[str]], place: Any) -> list[tuple[str, str]]:
    """Return an item for each different text; if there are several, with the places where it is."""
    found: dict[str, list[str]] = {}
    for key, several in texts.items():
        for text in dict.fromkeys(several):
            found.setdefault(text, []).append(place(key))
    if len(found) == 1:
        return [(label, text) for text in found]
    return [(f"{label} ({', '.join(dict.fromkeys(places))})", text) for text, places in found.items()]


def as_markdown(made: Statements) -> str:
    """Return the lists as Markdown, one paragraph of items for each heading."""
    parts = []
    for heading, items in made.lists.items():
        lines = [f"- **{escape_markdown(label)}**: {escape_markdown(text)}" for label, text in items]
        parts.append("\n".join([f"{heading}:", "", *lines]))
    return "".join(f"\n{part}\n" for part in [*parts, *map(escape_markdown, made.notes)])


def as_html(made: Statements) -> str:
    """Return the lists as a part of a page with `STYLE`."""
    parts = ['<section class="facts">']
    for heading, items in made.lists.items():
        lines = [f"<li><b>{markup.escape(label)}</b>: {markup.escape(text)}</li>" for label, text in items]
        parts += [f"<h2>{heading}</h2>", "<ul>", *lines, "</ul>"]
    parts += [f"<p>{markup.escape(note)}</p>" for note in made.notes]
    return "\n".join([*parts, "</section>"])


def with_latex(table: str, made: Statements) -> str:
    """Return a LaTeX `table` with the lists as small paragraphs at its end."""
    lines = [
        rf"\textbf{{{heading}.}} " + " \\par ".join(map(latex_item, items)) for heading, items in made.lists.items()
    ]
    body = "\n\\par\\smallskip\n".join([*lines, *map(escape_latex, made.notes)])
    box = f"\\par\\smallskip\n\\begin{{minipage}}{{\\textwidth}}\\scriptsize\\raggedright\n{body}\n\\end{{minipage}}"
    return table.replace(r"\end{table}", f"{box}\n" + r"\end{table}")


def latex_item(item: tuple[str, str]) -> str:
    return ": ".join(map(escape_latex, item))
