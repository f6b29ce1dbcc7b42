"""Writes the differences of a table as CSV, Markdown, LaTeX and HTML: one wide table for each kind of comparison."""

import html as markup
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.configuration.layout_keys import clips_of_each_video
from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.differences import ABOVE, BEST, PAIR, REFERENCE, WORST
from pipeline_lib.reporting.formats import difference_text, interval_text
from pipeline_lib.reporting.paired import LEVEL
from pipeline_lib.reporting.publish import publish

HEADINGS = {
    BEST: "against the best of each column",
    ABOVE: "against the row above",
    REFERENCE: "against {}",
    PAIR: "in pairs",
}
ABOUT = (
    "Differences in points of percent over the same clips and seeds, row minus the other, with their 95 % intervals "
    "({intervals}) and p, exact over {p}. An asterisk, and bold in HTML: below 5 % after Holm's correction for all p "
    "of the table."
)
OF_CLIPS = {"intervals": "Bonett and Price; of means a bootstrap over clips", "p": "clips (McNemar for one seed)"}
OF_VIDEOS = {
    "intervals": "Bonett and Price where the clips of each video agree, else a bootstrap over videos",
    "p": "videos (random signs)",
}
IN_THE_WORST_CASE = "In the worst case: both numbers under the strongest attack of the column's bound."
NOTHING = "Nothing to compare: a difference needs two rows with numbers in a column."


def write_differences(
    differences: pd.DataFrame, layout: Mapping[str, Any], *, csv: Path, markdown: Path, latex: Path, html: Path
) -> None:
    """Write the differences in long form as CSV; and each kind of comparison wide, as Markdown, LaTeX and HTML."""
    publish(csv, differences.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    title, about = f"{layout.get('title', layout['name'])}: differences", caption(differences, layout)
    kinds = {
        (str(against), str(under)): records
        for against, same in differences.groupby("against", sort=False)
        for under, records in same.groupby("under", sort=False)
    }
    headings = {kind: heading(layout, *kind) for kind in kinds}
    texts = {kind: wide(records, text_cell) for kind, records in kinds.items()}
    parts = [formats.markdown(f"{title}, {headings[kind]}", about, text) for kind, text in texts.items()]
    publish(markdown, "\n".join(parts) or f"{NOTHING}\n")
    parts = [formats.latex(label(layout, *kind), f"{title}, {headings[kind]}. {about}", texts[kind]) for kind in kinds]
    publish(latex, "\n".join(parts) or f"% {NOTHING}\n")
    parts = [
        f"<h2>{markup.escape(headings[kind])}</h2>\n{formats.html_table('', wide(records, html_cell))}"
        for kind, records in kinds.items()
    ]
    publish(html, formats.page(title, "\n".join([f"<p>{markup.escape(about)}</p>", *parts])))


def heading(layout: Mapping[str, Any], against: str, under: str) -> str:
    """Return the heading of one table."""
    return HEADINGS[against].format(layout.get("reference")) + (", in the worst case" if under == WORST else "")


def label(layout: Mapping[str, Any], against: str, under: str) -> str:
    """Return the name of a LaTeX label."""
    words = [layout["name"], "differences", against, *([under] if under == WORST else [])]
    return "-".join(words).replace(" ", "-")


def caption(differences: pd.DataFrame, layout: Mapping[str, Any]) -> str:
    """Return the caption: what is shown, data set, clips or videos, seeds, the dagger, note."""
    if differences.empty:
        return NOTHING
    counts, seeds = (sorted(set(differences[name].dropna()) - {""}) for name in ("n", "seeds"))
    clips = clips_of_each_video(layout)
    units = "clips" if clips == 1 else f"videos of {clips} clips each"
    about = f"{layout['dataset']}, n = {' to '.join(map(str, counts[:1] + counts[1:][-1:])) or 0} {units}"
    how = ABOUT.format_map(OF_CLIPS if clips == 1 else OF_VIDEOS)
    about = f"{how} {about}, {seeds_in_words(*seeds)}{'' if seeds else ' in common'}."
    dagger = f"{formats.DAGGER} One of the two is not a measure of robustness, see the table audit."
    worst = IN_THE_WORST_CASE if (differences["under"] == WORST).any() else ""
    return " ".join(filter(None, (about, worst, dagger if (differences["faults"] != "").any() else "", layout["note"])))


def wide(records: pd.DataFrame, cell: Callable[[Mapping[Any, Any]], str]) -> pd.DataFrame:
    """Return rows x columns of `cell(record)`; the other row is named in the heading of row or column."""
    cells: dict[str, dict[str, str]] = {}
    for record in records.to_dict("records"):
        row, column, other = record["row"], record["column"], record["other"]
        row = f"{row} \u2212 {other}" if record["against"] in (ABOVE, PAIR) else row
        column = f"{column} (best: {other})" if record["against"] == BEST else column
        cells.setdefault(row, {})[column] = cell(record)
    columns = dict.fromkeys(column for row in cells.values() for column in row)
    return pd.DataFrame.from_dict(cells, orient="index", columns=list(columns)).fillna("").rename_axis("model")


def p_text(record: Mapping[str, Any]) -> str:
    if pd.isna(record["p"]):
        return ""
    return "p < 0.001" if record["p"] < 0.001 else f"p = {record['p']:.3f}"


def text_cell(record: Mapping[str, Any]) -> str:
    """Return for example `+4.4* [1.3, 7.8] p = 0.004`."""
    return " ".join(filter(None, (difference_text(record), interval_text(record), p_text(record))))


def html_cell(record: Mapping[str, Any]) -> str:
    """Return the difference, bold if it is decided, above its interval and p."""
    number = difference_text(record)
    small = "".join(f"<small>{markup.escape(text)}</small>" for text in (interval_text(record), p_text(record)) if text)
    return (f"<b>{number}</b>" if record["p_holm"] < LEVEL else number) + small
