"""The first page of the report: what was asked, what came out, what is doubtful, what it cost, how it was made."""

import html
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from pipeline_lib.configuration.layout_keys import units_of
from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.records.titles import CLAIMS, MADE
from pipeline_lib.reporting.audits import FAULTS, NO_BOUND, SOUND
from pipeline_lib.reporting.chance import LEARNED_NOTHING, chance_notes, with_marked_rows
from pipeline_lib.reporting.faults import fault_note, with_faults
from pipeline_lib.reporting.formats import accuracy_text, worst_text
from pipeline_lib.reporting.marks import with_marks
from pipeline_lib.reporting.selectors import guess_note, with_guesses
from pipeline_lib.reporting.tables import PARAMETERS, read_table
from pipeline_lib.reporting.used import by_rule, time_asked
from pipeline_lib.reporting.worst_cases import worst_notes

SHOWN = 12  # exceptions in the list; the table of audits has all
MOST = 8  # columns without summaries
COMPACT = ("mean", "avg_all", "acc_all", "avg_adv", "acc_adv", "union", "lowest")


def front_page(
    about: Mapping[str, Any],
    tables: Mapping[str, Path | str],
    audit: Path | str,
    opening: str,
    used: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page as reStructuredText whose parts are HTML.

    about: `studies` (each with `name`, `title`, `dataset`, `path` of its page), `layout` of the first one's table,
    `figures` (each with `title`, `path`), `audit` (path of its page), `configuration` (path of the whole one).
    tables: study -> CSV. audit: CSV of the audits. opening: the page of `opening.opening_page`, whose sections are
    taken over. used: rows of `jobs.used.rows_of`.
    """
    read = {name: read_table(path) for name, path in tables.items()}
    audits = pd.read_csv(audit)
    own = sections(opening)
    claims, made = own.pop(CLAIMS, ""), own.pop(MADE, "")
    parts = [raw("What was asked", asked(about["studies"], read)), raw("Results", headline(about, read))]
    parts += [section(CLAIMS, claims)] if claims else []
    parts += [raw("Figures", links(about["figures"]))] if about["figures"] else []
    parts += [raw("What is doubtful", doubtful(about, read, audits))]
    parts += [section(title, text) for title, text in own.items()]
    made = f"{again(about['configuration'])}\n\n{made}"
    return "\n".join([*parts, raw("What it cost", cost(audits, used)), section("How it was made", made)])


def again(configuration: str) -> str:
    """Return how every number is made again, as reStructuredText. configuration: path of the whole one."""
    command = f"snakemake --cores all --configfile {shlex.quote(configuration)}"
    return f"Every number here by one command: ``{command}``; versions and machine: ``run.json`` beside that file."


def sections(text: str) -> dict[str, str]:
    """Return title -> text of the sections of reStructuredText that are underlined by equals signs."""
    parts = re.split(r"^(.+)\n=+\n", text, flags=re.MULTILINE)
    return {title: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def section(title: str, text: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{text}\n"


def raw(title: str, body: str) -> str:
    """Return a section whose text is HTML."""
    return section(title, ".. raw:: html\n\n" + "\n".join(f"   {line}" for line in body.splitlines()))


def escaped(text: object) -> str:
    """Return text as HTML that has no meaning to Jinja, through which the page is read."""
    return with_marks(str(text)).replace("{", "&#123;").replace("}", "&#125;")


def link(title: str, path: str) -> str:
    """Return a link that shows a result of the report."""
    place = f"results[decodeURIComponent('{quote(path)}')]"
    kind = "img" if path.endswith(".png") else "html"
    view = f"content: '{kind}', contentPath: {place}.data_uri, resultPath: '{quote(path)}'"
    script = f"javascript:void app.setView({{ {view} }})"
    return f'<a href="{html.escape(script)}">{escaped(title)}</a>'


def links(entries: Iterable[Mapping[str, str]]) -> str:
    items = "\n".join(f"<li>{link(one['title'], one['path'])}</li>" for one in entries)
    return f'<ul class="links">\n{items}\n</ul>'


def asked(studies: Sequence[Mapping[str, Any]], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return a list of the studies with data set, clips, seeds and what is compared."""
    if not studies:
        return "<p>No study is named in the configuration.</p>"
    rows = []
    for study in studies:
        table = tables[study["name"]]
        measured = table[table["column"] != PARAMETERS]
        facts = (study["dataset"], clips_of(measured), seeds_of(measured), measured["row"].nunique())
        cells = "".join(f"<td>{escaped(fact)}</td>" for fact in (*facts, measured["column"].nunique()))
        rows.append(f"<tr><th>{link(study['title'], study['path'])}</th>{cells}</tr>")
    heads = "".join(f"<th>{head}</th>" for head in ("study", "data set", "clips", "seeds", "models", "columns"))
    body = "\n".join(rows)
    return front_table(heads, body)


def front_table(heads: str, body: str) -> str:
    """Return a table in a box that scrolls. heads, body: HTML."""
    table = f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>"
    return f'<div class="wide" tabindex="0"><table class="front">\n{table}</table></div>'


def clips_of(table: pd.DataFrame) -> str:
    found = table["n"].dropna()
    return " to ".join(dict.fromkeys(f"{value}" for value in (found.min(), found.max()))) if len(found) else "0"


def seeds_of(table: pd.DataFrame) -> str:
    return seeds_in_words(*sorted({*table["seeds"]}))


def headline(about: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the first study's table with the first column and the summaries, its worst cases and all marks."""
    if not about["studies"]:
        return "<p>There is no result.</p>"
    first, layout = about["studies"][0], about["layout"]
    table = with_marked_rows(with_guesses(with_faults(tables[first["name"]], layout), layout))
    columns = compact(table)
    heads = "".join(f"<th>{escaped(name)}</th>" for name in ("model", *columns))
    rows = "\n".join(
        f"<tr><th><bdi>{escaped(row)}</bdi></th>{''.join(number(cells, column) for column in columns)}</tr>"
        for row, cells in table.groupby("row", sort=False)
    )
    found = (*worst_notes(table, units_of(first)), fault_note(table), *chance_notes(table), guess_note(table))
    notes = " ".join(escaped(note) for note in found if note)
    words = f"{link('The whole table', first['path'])} has the intervals, the printed values and all columns."
    title = f"<p>{escaped(first['title'])}: accuracy in percent. {words}</p>"
    return f"{title}\n{front_table(heads, rows)}\n<p>{notes}</p>"


def compact(table: pd.DataFrame) -> list[str]:
    """Return the columns of the first page: the first one and the summaries; the first ones, if there are none."""
    columns = [column for column in table["column"].unique() if column != PARAMETERS]
    short = [column for column in columns if column == columns[0] or column in COMPACT]
    return short if len(columns) > 4 and len(short) > 1 else columns[:MOST]


def number(cells: pd.DataFrame, column: str) -> str:
    """Return a cell: the number, and below it the worst case if there is one."""
    [found] = cells[cells["column"] == column].to_dict("records") or [{"measured": float("nan")}]
    record: Mapping[str, Any] = {str(key): value for key, value in found.items()}
    text, worst = accuracy_text(record) or "\u2013", worst_text(record).partition(" ")[0]
    below = f"<small>worst {escaped(worst)}</small>" if worst else ""
    bold = f"<b>{escaped(text)}</b>" if record.get("best") else escaped(text)
    return f"<td>{bold}{below}</td>"


def doubtful(about: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], audits: pd.DataFrame) -> str:
    """Return the exceptions among the audits, the weak attacks, and the models that have learned nothing."""
    found = audits[~audits["verdict"].isin((SOUND, NO_BOUND))]
    found = pd.concat([found[found["verdict"].isin(FAULTS)], found[~found["verdict"].isin(FAULTS)]])
    words = (
        f"{len(found)} of {len(audits)} adversarial sets are exceptions" if len(found) else "No audit has an exception"
    )
    items = [f"{one.verdict}: {one.attack} on {one.source}" for one in found.head(SHOWN).itertuples()]
    items += [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    for study in about["studies"]:
        items += trouble_of(study["title"], tables[study["name"]])
    listed = "\n".join(f"<li>{escaped(item)}</li>" for item in items)
    return f"<p>{words} ({link('all audits', about['audit'])}).</p>\n" + (f"<ul>\n{listed}\n</ul>" if items else "")


def trouble_of(title: str, table: pd.DataFrame) -> list[str]:
    """Return what a study's table marks, in words."""
    learned = table[table["flag"].str.contains(LEARNED_NOTHING)]["row"].unique()
    found = [f"{title}: {row} has learned nothing" for row in learned]
    weak = int(table["weak"].sum()) if "weak" in table else 0
    return [*found, *([f"{title}: {weak} numbers under attacks that are weak in their bound"] if weak else [])]


def cost(audits: pd.DataFrame, used: Sequence[Mapping[str, Any]]) -> str:
    """Return how much was attacked, and what jobs asked for and used."""
    passes = int((audits["clips"] * audits["iterations"]).sum())
    words = (
        f"<p>{len(audits)} adversarial sets of {int(audits['clips'].sum()):,} clips in sum, made with {passes:,} "
        "iterations over clips. The page <i>Statistics</i> of the menu has the time of each rule.</p>"
    )
    jobs = by_rule(used)
    if jobs.empty:
        return words
    heads = "".join(f"<th>{escaped(head)}</th>" for head in jobs.columns)
    rows = [
        f"<th>{escaped(rule)}</th>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) for rule, *row in jobs.values
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    title = "<p>What jobs asked for and used, from smallest to largest; logs/used.csv has each job:</p>"
    return f"{words}\n{title}\n{front_table(heads, body)}\n<p>{time_asked(used)}</p>"
