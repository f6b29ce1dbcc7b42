"""`python -m pipeline_lib.reporting.compare A.json B.json ...`: summaries of several runs side by side.

Numbers are laid side by side only where they were measured on the same clips by the same attacks.
"""

import argparse
import html
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_lib.commands import exit_with
from pipeline_lib.configuration.entries import CLEAN
from pipeline_lib.configuration.given_sets import is_given
from pipeline_lib.configuration.targets import split_target
from pipeline_lib.errors import PipelineError
from pipeline_lib.records.titles import CLAIMS
from pipeline_lib.reporting import claim_records, formats
from pipeline_lib.reporting.chance import LEARNED_NOTHING, NOT_ABOVE_CONSTANT
from pipeline_lib.reporting.marks import ROW_MARK
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.summary import FORMAT

Summary = Mapping[str, Any]
NOTE = "Accuracy in percent with its 95 % interval. The same clips and attacks in all files."


def read_summary(path: Path | str) -> dict[str, Any]:
    """Return the summary in the file. Raises PipelineError, with the path, for other content."""
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PipelineError(f"{path}: no summary of results ({error})") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or "records" not in found:
        stated = found.get("format") if isinstance(found, dict) else None
        raise PipelineError(f"{path}: no summary of results of format {FORMAT} (its format: {stated})")
    return found


def side_by_side(summaries: Mapping[str, Summary]) -> dict[str, pd.DataFrame]:
    """Return study -> table of the numbers as text, for the studies that all summaries have.

    summaries: by name. Index: row; columns: column and name of the summary. Raises PipelineError for summaries without
    a common study, and for other clips, columns or attacks in one.
    """
    first, *others = summaries.values()
    studies = [name for name in first["studies"] if all(name in other["studies"] for other in others)]
    if not studies:
        raise PipelineError(f"{', '.join(summaries)}: no study in common")
    for study in studies:
        for pair in combinations(summaries, 2):
            require_comparable(study, *pair, *(summaries[name] for name in pair))
    return {study: laid_out(study, summaries) for study in studies}


def require_comparable(study: str, name: str, other_name: str, one: Summary, other: Summary) -> None:
    """Raise PipelineError, with the first difference, unless clips, columns and attacks of a study are the same."""
    where, names = f"study {study}", f"{name} and {other_name}"
    facts, other_facts = one["studies"][study], other["studies"][study]
    if facts["clips"] != other_facts["clips"]:
        digests = f"{facts['clips']} and {other_facts['clips']}"
        raise PipelineError(f"{where}: {names} were measured on different clips (videos and labels: {digests})")
    for key in ("columns", "summaries"):
        if facts[key] != other_facts[key]:
            raise PipelineError(f"{where}: {names} have different {key}: {facts[key]} and {other_facts[key]}")
    for column in facts["columns"]:
        here, there = attacks_of(one, study, column), attacks_of(other, study, column)
        if here and there and here != there:
            words = differing(*(json.loads(min(only, default="null")) for only in (here - there, there - here)))
            raise PipelineError(f"{where}, column {column}: {names} have different attacks: {words}")


def attacks_of(summary: Summary, study: str, column: str) -> set[str]:
    """Return the entries of a column's attacks, as text, with the model of a source that is not the target itself."""
    cells = [one for one in summary["records"] if (one["study"], one["column"]) == (study, column)]
    return {json.dumps(attack_of(summary, entry), sort_keys=True) for cell in cells for entry in cell["entries"]}


def attack_of(summary: Summary, entry: Mapping[str, str]) -> dict[str, Any]:
    if entry["attack"] == CLEAN:
        return {}
    attack, source = summary["attacks"][entry["attack"]], entry["source"]
    if source == entry["target"]:
        return attack
    return {**attack, "source": source if is_given(source) else summary["models"][split_target(source)[0]]}


def differing(one: Any, other: Any, place: str = "") -> str:
    """Return the first key in which two entries differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if one.get(key) != other.get(key):
                return differing(one.get(key), other.get(key), f"{place}.{key}" if place else key)
    return f"{place or 'attack'} {json.dumps(one)} and {json.dumps(other)}"


def laid_out(study: str, summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """Return the numbers of a study as text."""
    cells: dict[str, dict[str, str]] = {}
    facts = next(iter(summaries.values()))["studies"][study]
    columns = [*facts["columns"], *(each["column"] for each in facts["summaries"])]
    for name, summary in summaries.items():
        for record in (one for one in summary["records"] if one["study"] == study):
            cells.setdefault(record["row"], {})[f"{record['column']}, {name}"] = text_of(record)
    order = [f"{column}, {name}" for column in columns for name in summaries]
    table = pd.DataFrame.from_dict(cells, orient="index")
    return table[[name for name in order if name in table]].fillna("").rename_axis("model")


def text_of(record: Mapping[str, Any]) -> str:
    """Return a record's number with its interval, and its marks: that of a row whose model has learned nothing is
    behind each of its numbers, since the row may have learned in another run."""
    flag = NOT_ABOVE_CONSTANT if NOT_ABOVE_CONSTANT in record["flags"] else ""
    faults = [one for one in record["flags"] if one not in (NOT_ABOVE_CONSTANT, LEARNED_NOTHING)]
    shown = {**record, "sd": float("nan") if record["sd"] is None else record["sd"], "flag": flag, "faults": faults}
    text = formats.measured_text(shown)
    return f"{text} {ROW_MARK}" if LEARNED_NOTHING in record["flags"] else text


def names_of(paths: Sequence[str]) -> list[str]:
    """Return the shortest ending of each path that no other has. PipelineError for a file that is given twice."""
    parts = [Path(path).resolve().with_suffix("").parts for path in paths]
    if len(set(parts)) < len(parts):
        raise PipelineError(f"{', '.join(paths)}: a file is given twice")
    length = next(n for n in range(1, max(map(len, parts)) + 1) if len({part[-n:] for part in parts}) == len(parts))
    return ["/".join(part[-length:]) for part in parts]


def main(arguments: Sequence[str]) -> int:
    """Print the summaries side by side as Markdown. Returns the exit status: 2 for what cannot be compared."""
    parser = argparse.ArgumentParser(prog="python -m pipeline_lib.reporting.compare", description=NOTE)
    parser.add_argument("summaries", nargs="+", help="summary.json of two or more runs")
    parser.add_argument("--html", type=Path, help="also write a page")
    given = parser.parse_args(arguments)
    try:
        if len(given.summaries) < 2:
            raise PipelineError("name at least two files to compare")
        summaries = dict(zip(names_of(given.summaries), map(read_summary, given.summaries), strict=True))
        tables = side_by_side(summaries)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 2
    titles = {study: next(iter(summaries.values()))["studies"][study]["title"] for study in tables}
    notes, claims = dict.fromkeys(tables, NOTE), claim_records.claims_side_by_side(summaries, tables)
    if len(claims):
        key = "claims"  # no study has this name: it is that of a table
        titles[key], notes[key], tables[key] = CLAIMS, claim_records.NOTE, claims
    print("\n".join(formats.markdown(titles[study], notes[study], table) for study, table in tables.items()))
    if given.html:
        parts = [
            f"<h2>{html.escape(titles[study])}</h2>\n{html_table(notes[study], table)}"
            for study, table in tables.items()
        ]
        publish(given.html, formats.page("Results side by side", "\n".join(parts)))
    return 0


def html_table(note: str, table: pd.DataFrame) -> str:
    return formats.html_table(note, table.map(html.escape))


if __name__ == "__main__":
    exit_with(main)
