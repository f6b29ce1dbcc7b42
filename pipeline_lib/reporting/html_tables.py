"""Tables as HTML: the header and the first column stay when the table is scrolled inside its own box."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline_lib.reporting.marks import with_marks


@dataclass(frozen=True, kw_only=True)
class HtmlCell:
    """A cell of a table. content: HTML. value: by which its column is sorted (default: its text).
    kind: class of its background, of `marks.MARKS`. about: its details, (term, text), shown on demand."""

    content: str
    value: str = ""
    kind: str = ""
    about: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        attributes = f' class="{self.kind}"' if self.kind else ""
        attributes += f' data-value="{html.escape(self.value)}"' if self.value else ""
        if not self.about:
            return f"<td{attributes}>{self.content}</td>"
        return f"<td{attributes}><details><summary>{self.content}</summary>{definitions(self.about)}</details></td>"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms with their texts, both escaped."""
    items = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in pairs)
    return f'<dl class="about">{items}</dl>'


def scrolled_table(wide: pd.DataFrame, name: str = "table") -> str:
    """Return a table in a box that scrolls, also by keyboard.

    wide: cells are `HtmlCell` or HTML; the index, its name and the columns are escaped. name: of the box, for screen
    readers.
    """
    heads = "".join(heading(str(one), "col") for one in (wide.index.name, *wide.columns))
    rows = "\n".join(
        f"<tr>{heading(str(label), 'row')}{''.join(map(html_cell, cells))}</tr>"
        for label, cells in zip(wide.index, wide.itertuples(index=False), strict=True)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(name)}">\n<table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def heading(label: str, scope: str) -> str:
    """Return a heading of a row or column; text from right to left is shown as such, next to others."""
    return f'<th scope="{scope}"><bdi>{with_marks(label)}</bdi></th>'


def html_cell(cell: object) -> str:
    return str(cell) if isinstance(cell, HtmlCell) else f"<td>{cell}</td>"


def legend(notes: Iterable[str]) -> str:
    """Return the explanations below a table, marks in their colors; empty without any."""
    items = "".join(f"<li>{with_marks(note)}</li>" for note in notes if note)
    return f'<ul class="legend">{items}</ul>' if items else ""
