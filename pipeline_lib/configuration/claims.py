"""Files of claims: what a paper states about its tables, as comparisons between cells (`resources/paper/claims.csv`).

A line with an `id` begins a claim; lines without one below it are further comparisons of the same claim.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.configuration.messages import fail
from pipeline_lib.errors import PipelineError, known

FILE = "claims.csv"  # in the folder of the printed numbers
SHIPPED = "paper"  # its name in the configuration
ABOUT = ("id", "work", "place", "statement", "note")
COLUMNS = (
    *("id", "work", "place", "statement", "table", "row", "column", "relation"),
    *("other_table", "other_row", "other_column", "margin", "note"),
)
HIGHER, LOWER, SIMILAR = "higher", "lower", "similar"
# Relation to all other cells of a column or row -> relation to each of them, and what differs.
EXTREMES = {
    "highest of column": (HIGHER, "row"),
    "lowest of column": (LOWER, "row"),
    "highest of row": (HIGHER, "column"),
    "lowest of row": (LOWER, "column"),
}
RELATIONS = (HIGHER, LOWER, SIMILAR, *EXTREMES)
IDENTIFIER = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a file: each of the `rows` x `columns` of a table in its relation to each of the other cells.

    where: file and line, for messages. Empty `other_rows` or `other_columns` are those of the cell itself, or for an
    extreme all others. margin: in points, for `SIMILAR` only.
    """

    where: str
    table: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    relation: str
    other_table: str
    other_rows: tuple[str, ...]
    other_columns: tuple[str, ...]
    margin: float | None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim: it holds if all comparisons of its lines do. about: the texts of `ABOUT`."""

    about: Mapping[str, str]
    lines: tuple[Line, ...]


def claim_files(names: Sequence[str], printed: Path) -> list[Path]:
    """Return the paths of the files that the configuration names; `SHIPPED` is the one beside the printed numbers."""
    paths = [printed / FILE if name == SHIPPED else Path(name).expanduser() for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.is_file():
            raise fail("claims", f"there is no file {path}; {SHIPPED!r} names the project's claims, not {name!r}")
    return paths


def read_claims(paths: Iterable[Path]) -> list[Claim]:
    """Return the claims of the files. PipelineError, with file and line, for the first that is not well-formed."""
    claims: list[Claim] = []
    places: dict[str, str] = {}
    for path in paths:
        for where, record in records(path):
            line = line_of(where, record)
            if record["id"]:
                check_new(where, record, places)
                claims.append(Claim(about={key: record[key] for key in ABOUT}, lines=(line,)))
            elif not places or not claims[-1].lines[0].where.startswith(f"{path}, "):
                raise PipelineError(f"{where}: the first line of a file needs an id")
            else:
                check_continued(where, record)
                claims[-1] = Claim(about=claims[-1].about, lines=(*claims[-1].lines, line))
    return claims


def records(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield file and line, and the fields without spaces around them, of each line of a CSV file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise PipelineError(f"{path}: not UTF-8: save the file in that encoding") from None
    reader = csv.DictReader(text.splitlines(keepends=True), restkey="", strict=True)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise PipelineError(f"{path}, line 1: columns {reader.fieldnames}, expected {list(COLUMNS)}")
    try:
        for record in reader:
            where = f"{path}, line {reader.line_num}"
            if len(record) != len(COLUMNS) or None in record.values():
                raise PipelineError(f"{where}: needs {len(COLUMNS)} fields; quote a text that contains a comma")
            yield where, {key: value.strip() for key, value in record.items()}
    except csv.Error as error:
        raise PipelineError(f"{path}, line {reader.line_num}: {error}") from None


def line_of(where: str, record: Mapping[str, str]) -> Line:
    for key in ("table", "row", "column"):
        if not record[key]:
            raise PipelineError(f"{where}: `{key}` is missing")
    if record["relation"] not in RELATIONS:
        raise PipelineError(f"{where}: unknown relation {record['relation']!r}; {known(RELATIONS, record['relation'])}")
    if record["relation"] in EXTREMES:
        same = "other_column" if EXTREMES[record["relation"]][1] == "row" else "other_row"
        for key in ("other_table", same):
            if record[key]:
                raise PipelineError(f"{where}: `{key}` has no meaning with {record['relation']!r}")
    return Line(
        where=where,
        table=record["table"],
        rows=listed(record["row"]),
        columns=listed(record["column"]),
        relation=record["relation"],
        other_table=record["other_table"] or record["table"],
        other_rows=listed(record["other_row"]),
        other_columns=listed(record["other_column"]),
        margin=margin_of(where, record),
    )


def listed(text: str) -> tuple[str, ...]:
    """Return the labels of a field, which semicolons separate."""
    return tuple(label.strip() for label in text.split(";") if label.strip())


def margin_of(where: str, record: Mapping[str, str]) -> float | None:
    """Return the margin of a line. PipelineError if it is missing, misplaced, or no number of points."""
    if record["relation"] != SIMILAR:
        if record["margin"]:
            raise PipelineError(f"{where}: `margin` belongs to the relation {SIMILAR!r} only")
        return None
    try:
        margin = float(record["margin"])
    except ValueError:
        margin = 0.0
    if not 0 < margin <= 100:
        raise PipelineError(f"{where}: {SIMILAR!r} needs a `margin` in points of percent, got {record['margin']!r}")
    return margin


def check_new(where: str, record: Mapping[str, str], places: dict[str, str]) -> None:
    """Enter the line's id in `places` (id -> file and line). PipelineError for a repeated id or missing texts."""
    name = record["id"]
    if not IDENTIFIER.fullmatch(name):
        raise PipelineError(f"{where}: id {name!r}: small letters, digits, - and _ only, beginning with a letter")
    if name in places:
        raise PipelineError(f"{where}: the id {name!r} is used already ({places[name]}); give each claim its own")
    for key in ("work", "place", "statement"):
        if not record[key]:
            raise PipelineError(f"{where}: `{key}` of the claim {name!r} is missing")
    places[name] = where


def check_continued(where: str, record: Mapping[str, str]) -> None:
    for key in ABOUT:
        if record[key]:
            raise PipelineError(f"{where}: `{key}` belongs in the line with the claim's id")
