"""Writes the table of claims as CSV, Markdown, LaTeX and HTML: a table for each work, and what is not computed."""

import html as markup
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.configuration.layout_keys import clips_of_each_video
from pipeline_lib.records.seed_words import seeds_in_words
from pipeline_lib.records.titles import CLAIMS
from pipeline_lib.reporting import formats
from pipeline_lib.reporting.claims import COUNTS, FAILS, HOLDS, NOT_COMPUTED, NUMBERS, UNDECIDED, WORST
from pipeline_lib.reporting.publish import publish

ABOUT = (
    "Whether what the papers' tables show holds in these studies. A claim of several comparisons holds if all do, and "
    "does not hold if one is decided to the contrary. Below it is the comparison that decides: a difference in points "
    "of percent over the same clips with its 95 % interval, and p of the claim after Holm's correction for all claims "
    "computed here. Undecided: p is not below 5 %. Such a claim would be decided by about the stated number of clips "
    "or of seeds (power 80 %, level 5 % divided by the number of claims), if the differences stay as they are."
)
PARTS = "In part, and in brackets: how many of its comparisons these studies compute."
FAULTS = f"{formats.DAGGER} A compared number does not measure robustness, see the table audit."
SEEDS = (
    "p and interval are about other clips for these trained models; beside them is in how many of the seeds, each of "
    "them a training of its own, the difference has this sign."
)
COUNTS_VIDEOS = "Where a video has several clips, n and the stated numbers of clips are numbers of videos."
COLORS = {HOLDS: "guess", FAILS: "fault", UNDECIDED: "faint"}  # of `page_style`
STYLE = """
tr > :first-child { max-width: 30rem; min-width: 12rem; font-weight: 400; }
tr > td { text-align: left; white-space: normal; min-width: 15rem; } thead th { text-align: left; max-width: none; }
"""
NO_CLAIM = "None of the claims is about tables of these studies."
Record = Mapping[Any, Any]


def write_claims(table: pd.DataFrame, *, csv: Path, markdown: Path, latex: Path, html: Path, note: str = "") -> None:
    """Write the table of claims (`claims.build_claims`): as it is as CSV; by work as Markdown, LaTeX and HTML.

    note: the end of the caption (`units_note`).
    """
    publish(csv, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    what = " ".join(filter(None, (caption(table), note)))
    about = " ".join(filter(None, (summary_line(table), what)))
    texts, pages = sections(table, claim_text, result_text), sections(table, claim_html, result_html)
    parts = [formats.markdown(title, "", text) for title, text in texts.items()]
    publish(markdown, "\n".join([f"## {CLAIMS}\n\n{formats.escape_markdown(about)}\n", *parts]))
    parts = [
        formats.latex(f"claims-{place}", f"{title}. {about}", text) for place, (title, text) in enumerate(texts.items())
    ]
    publish(latex, "\n".join(parts))
    parts = [f"<h2>{markup.escape(title)}</h2>\n{html_table(title, page)}" for title, page in pages.items()]
    heads = [f"<p><b>{markup.escape(summary_line(table))}</b></p>", f"<p>{markup.escape(what)}</p>"]
    publish(html, formats.page(CLAIMS, "\n".join([*heads, *parts]), STYLE))


def units_note(layouts: Iterable[Mapping[str, Any]]) -> str:
    """Return what the numbers of clips count, if a video has several clips in any of the studies."""
    return COUNTS_VIDEOS if any(clips_of_each_video(layout) > 1 for layout in layouts) else ""


def read_claims_table(path: Path | str) -> pd.DataFrame:
    """Return the table of claims from a CSV of `write_claims`."""
    empty = {name: [""] for name in (*NUMBERS, *COUNTS)}
    table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=empty)
    return table.astype(dict.fromkeys(NUMBERS, float) | dict.fromkeys(COUNTS, "Int64"))


def summary_line(table: pd.DataFrame) -> str:
    """Return how many claims hold, do not, and are undecided, under the papers' attacks and in the worst case."""
    computed = table[table["outcome"] != NOT_COMPUTED]
    if computed.empty:
        return NO_CLAIM
    words = f"Of {len(computed)} claims, {counted(computed, '')} under the papers' attacks."
    worst = computed[computed[f"{WORST}outcome"] != ""]
    if len(worst):
        words += f" In the worst case, of {len(worst)}, {counted(worst, WORST)}."
    missing = len(table) - len(computed)
    return f"{words} {missing} claims are about tables that are not computed here." if missing else words


def counted(table: pd.DataFrame, before: str) -> str:
    outcomes = table[f"{before}outcome"]
    holds, fails, undecided = (int((outcomes == outcome).sum()) for outcome in (HOLDS, FAILS, UNDECIDED))
    some = int(((outcomes == HOLDS) & (table[f"{before}compared"] < table["comparisons"])).sum())
    part = f" ({some} of them as far as computed)" if some else ""
    return f"{holds} hold{part}, {fails} do not hold, and {undecided} are undecided"


def caption(table: pd.DataFrame) -> str:
    """Return the caption: what is shown, the meaning of brackets and of the dagger if they occur, clips and seeds."""
    computed = table[table["outcome"] != NOT_COMPUTED]
    if computed.empty:
        return ""
    clips = " to ".join(map(str, sorted({computed["n"].min(), computed["n"].max()} - {pd.NA})))
    seeds = seeds_in_words(*sorted({*computed["seeds"]}))
    parts = PARTS if (computed["compared"] < computed["comparisons"]).any() else ""
    faults = FAULTS if (computed[["faults", f"{WORST}faults"]] != "").any(axis=None) else ""
    several = SEEDS if computed["seeds"].str.contains(" ").any() else ""
    return " ".join(filter(None, (ABOUT, several, f"n = {clips or 0} clips, {seeds}.", parts, faults)))


def sections(
    table: pd.DataFrame, claim: Callable[[Record], str], result: Callable[[Record, str], str]
) -> dict[str, pd.DataFrame]:
    """Return title -> table of text: a work's claims that are computed, and all others; indexed by `claim`."""
    found = {}
    computed = table[table["outcome"] != NOT_COMPUTED]
    for work, records in computed.groupby("work", sort=False):
        columns = {"papers' attack": [result(record, "") for record in records.to_dict("records")]}
        if (records[f"{WORST}outcome"] != "").any():
            columns["worst case"] = [result(record, WORST) for record in records.to_dict("records")]
        found[str(work)] = pd.DataFrame(columns, [claim(record) for record in records.to_dict("records")])
    missing = table[table["outcome"] == NOT_COMPUTED]
    if len(missing):
        works = [str(record["work"]) for record in missing.to_dict("records")]
        found["Not computed here"] = pd.DataFrame(
            {"work": works}, [claim(record) for record in missing.to_dict("records")]
        )
    return {title: section.rename_axis("claim") for title, section in found.items()}


def claim_text(record: Record) -> str:
    note = f" {record['note']}" if record["note"] else ""
    return f"{record['statement']} ({record['place']}).{note}"


def claim_html(record: Record) -> str:
    small = "".join(f"<small>{markup.escape(str(record[key]))}</small>" for key in ("place", "note") if record[key])
    return f"{markup.escape(str(record['statement']))}{small}"


def result_text(record: Record, before: str) -> str:
    """Return for example `undecided; AVG - MAX, union: +4.4 [-1.3, 7.8], p = 0.120; about 400 clips or 3 seeds`."""
    return "; ".join(
        filter(None, (outcome_text(record, before), detail_text(record, before), needed_text(record, before)))
    )


def result_html(record: Record, before: str) -> str:
    outcome = record[before + "outcome"]
    if not outcome:
        return ""
    small = (detail_text(record, before), needed_text(record, before))
    word = f'<b style="color: var(--{COLORS[outcome]})">{markup.escape(outcome_text(record, before))}</b>'
    return word + "".join(f"<small>{markup.escape(text)}</small>" for text in small if text)


def outcome_text(record: Record, before: str) -> str:
    """Return the outcome with its marks, empty if there is none."""
    outcome, some, all_of_them = record[before + "outcome"], record[before + "compared"], record["comparisons"]
    if not outcome:
        return ""
    dagger = formats.DAGGER if record[before + "faults"] else ""
    if some == all_of_them:
        return f"{outcome}{dagger}"
    return f"{outcome}{' in part' if outcome == HOLDS else ''}{dagger} ({some} of {all_of_them})"


def detail_text(record: Record, before: str) -> str:
    """Return the comparison that decides: its cells, difference, interval, and the p of the claim."""
    if not record[before + "outcome"]:
        return ""
    difference = round(record[before + "difference"], 1)
    points = f"{difference:+.1f}".replace("-", "\u2212") if difference else "0.0"
    low, high = record[before + "low"], record[before + "high"]
    interval: str = "" if pd.isna(low) else f" [{low:.1f}, {high:.1f}]".replace("-", "\u2212")
    p = record[before + "p_holm"]
    words = f"{record[before + 'pair']}: {points}{interval}, {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}"
    return f"{words}{seeds_text(record[before + 'seeds'], record.get(before + 'agreeing'))}"


def seeds_text(seeds: str | Sequence[int], agreeing: int | None) -> str:
    """Return in how many of several seeds the difference has its sign; empty for one seed, or without a number.

    seeds: as in the table, or as in `summary.json`.
    """
    number = len(seeds.split() if isinstance(seeds, str) else seeds)
    return "" if number < 2 or pd.isna(agreeing) else f", in {agreeing} of {number} seeds"


def needed_text(record: Record, before: str) -> str:
    """Return the sample that would decide an undecided claim."""
    if record[before + "outcome"] != UNDECIDED:
        return ""
    clips, seeds = record[before + "needed_clips"], record[before + "needed_seeds"]
    numbers = ((clips, f"about {rounded(clips)} clips"), (seeds, f"{seeds} seeds"))
    ways = [words for number, words in numbers if not pd.isna(number)]
    return f"decided by {' or '.join(ways)}" if ways else "no sample decides a difference of 0"


def rounded(number: Any) -> str:
    """Return two digits of a number, upwards; empty for a missing one."""
    if pd.isna(number):
        return ""
    unit = 10 ** max(0, len(str(number)) - 2)
    return f"{-(-int(number) // unit) * unit:,}"


def html_table(title: str, section: pd.DataFrame) -> str:
    """Return a table of cells that are HTML already, in the box of `html_tables.scrolled_table`."""
    head = "".join(
        f'<th scope="col">{markup.escape(str(name))}</th>' for name in (section.index.name, *section.columns)
    )
    rows = [
        f'<tr><th scope="row">{claim}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for claim, *cells in section.itertuples()
    ]
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="{markup.escape(title)}">'
    return f"{box}\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
