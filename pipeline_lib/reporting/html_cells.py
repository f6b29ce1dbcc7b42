"""The cells of a study's table as HTML: number, interval, worst case and printed value, and their details."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline_lib.reporting.cell_details import details_of
from pipeline_lib.reporting.formats import (
    NOT_COMPUTED,
    measured_text,
    pair_text,
    paper_text,
    weak_text,
    worst_text,
)
from pipeline_lib.reporting.html_tables import HtmlCell
from pipeline_lib.reporting.marks import kind_of, with_marks


def html_cell(record: Mapping[str, Any], layout: Mapping[str, Any]) -> HtmlCell:
    """Return the number, bold if `best`, above its interval, the worst case (bold if `worst_best`), the difference to
    its pair and the printed value; sorted by the number. Details: `cell_details.details_of`."""
    measured, interval = parted(measured_text(record))
    number = with_marks(measured or "\u2013")
    parts = [f"<b>{number}</b>" if record["best"] else number]
    parts += [f"<small>{interval}</small>"] if interval else []
    parts += [f'<small class="worst">{worst_html(record)}</small>'] if worst_text(record) else []
    parts += [f'<small class="worst">{weak_text(record)}</small>'] if weak_text(record) else []
    parts += [f'<small class="pair">({pair_text(record)})</small>'] if pair_text(record) else []
    parts += [f'<small class="paper">{paper_text(record)[1:-1]}</small>'] if paper_text(record) else []
    value = "" if pd.isna(record["measured"]) else f"{record['measured']:.4f}"
    kind = kind_of(measured + worst_text(record))
    return HtmlCell(content="".join(parts), value=value, kind=kind, about=details_of(record, layout))


def worst_html(record: Mapping[str, Any]) -> str:
    worst, interval = parted(worst_text(record))
    number = with_marks(worst)
    return f"worst {f'<b>{number}</b>' if record.get('worst_best') else number} {interval}"


def parted(text: str) -> tuple[str, str]:
    """Return a number and what is behind it."""
    number, _, rest = (text, "", "") if text == NOT_COMPUTED else text.partition(" ")
    return number, rest
