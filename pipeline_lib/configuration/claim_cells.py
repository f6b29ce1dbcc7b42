"""Claims resolved to the cells of a configuration's studies: each line written out as comparisons of two cells."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from pipeline_lib.configuration.claims import EXTREMES, FILE, Claim, Line, claim_files, read_claims
from pipeline_lib.entries.methods import SUMMARIES
from pipeline_lib.errors import PipelineError, known

STUDY = "study:"  # before the name of a study, in place of that of a printed table
TABLE = "claims"  # the name of the table of claims
NO_ACCURACIES = {*SUMMARIES, "parameters"}
Layouts = Mapping[str, Mapping[str, Any]]
Cell = tuple[str, str]  # row, column
Printed = Mapping[str, Mapping[Cell, float]]


@dataclass(frozen=True)
class GivenClaims:
    """Claims as written, and the printed numbers by table."""

    claims: Sequence[Claim] = ()
    printed: Printed = field(default_factory=dict)


def given_claims(names: Sequence[str], folder: Path) -> GivenClaims:
    """Return the claims of the files that the configuration names. folder: of the printed numbers."""
    return GivenClaims(read_claims(claim_files(names, folder)), read_printed(folder))


def printed_files(folder: Path) -> list[Path]:
    """Return the files with printed numbers."""
    return sorted(path for path in folder.glob("*.csv") if path.name != FILE)


def read_printed(folder: Path) -> dict[str, dict[Cell, float]]:
    """Return table -> (row, column) -> printed value, of all files with printed numbers in a folder."""
    tables: dict[str, dict[Cell, float]] = {}
    for path in printed_files(folder):
        with path.open(encoding="utf-8", newline="") as file:
            for record in csv.DictReader(file):
                cells = tables.setdefault(record["table"], {})
                cells[record["row"], record["column"]] = float(record["value"])
    return tables


def resolve_claims(claims: Iterable[Claim], layouts: Layouts, printed: Printed) -> list[dict[str, Any]]:
    """Return the claims as plain data: the texts about them, and `comparisons`.

    layouts: study -> layout (`Layouts.studies`). A comparison has its `relation` (higher, lower or similar), `margin`,
    the cells `first` and `second` (table, row, column), their `printed` values (None unless both are printed), and
    `studies`, the two studies that compute them on the same clips (None if the configuration has none).

    Raises PipelineError, with file and line, for cells that neither the printed table nor a study of it has.
    """
    tables = Tables(layouts, printed)
    return [
        {**claim.about, "comparisons": [one for line in claim.lines for one in comparisons(line, tables)]}
        for claim in claims
    ]


def is_computed(comparison: Mapping[str, Any]) -> bool:
    """Return whether the configuration's studies have both cells of a resolved comparison."""
    return comparison["studies"] is not None


def studies_of(claims: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the studies whose cells the resolved claims compare."""
    pairs = [one["studies"] for claim in claims for one in claim["comparisons"] if is_computed(one)]
    return sorted({study for pair in pairs for study in pair})


class Tables:
    """The cells by table: those printed, and those of the studies that name the table under `paper`."""

    def __init__(self, layouts: Layouts, printed: Printed) -> None:
        self.layouts, self.printed = layouts, printed
        self.cells = {name: dict.fromkeys(cells_of(layout)) for name, layout in layouts.items()}
        self._known: dict[str, dict[Cell, None]] = {}

    def studies(self, table: str) -> list[str]:
        """Return the studies that compute a table."""
        if table.startswith(STUDY):
            return [name for name in self.layouts if name == table.removeprefix(STUDY)]
        return [name for name, layout in self.layouts.items() if table in layout["paper"]]

    def known(self, table: str) -> dict[Cell, None]:
        """Return all cells of a table as keys, the printed ones first."""
        if table not in self._known:
            self._known[table] = dict.fromkeys([*self.printed.get(table, ()), *self.computed(table)])
        return self._known[table]

    def computed(self, table: str) -> list[Cell]:
        return [cell for study in self.studies(table) for cell in self.cells[study]]

    def listed(self, table: str) -> list[Cell]:
        """Return the cells that an extreme is compared with: the printed ones, or all of a study's own table."""
        return list(self.printed.get(table) or self.computed(table))

    def require(self, where: str, table: str, row: str, column: str) -> None:
        """Raise PipelineError for a cell that does not exist; nothing is known of a study that is not configured."""
        if table not in self.printed and not table.startswith(STUDY):
            tables = known(self.printed)
            raise PipelineError(f"{where}: there is no printed table {table!r} (or write {STUDY}NAME); {tables}")
        if table.startswith(STUDY) and not self.studies(table):
            return
        cells = self.known(table)
        if (row, column) in cells:
            return
        for kind, label, labels in (
            ("row", row, {one for one, _ in cells}),
            ("column", column, {one for _, one in cells}),
        ):
            if label not in labels:
                raise PipelineError(f"{where}: table {table!r} has no {kind} {label!r}; {known(labels, label)}")
        raise PipelineError(f"{where}: table {table!r} has no number in row {row!r}, column {column!r}")

    def computing(self, first: Mapping[str, str], second: Mapping[str, str]) -> list[str] | None:
        """Return the studies of two cells, of one data set; the same one if possible."""
        pairs = [
            [one, other]
            for one, other in product(*(self.with_cell(cell) for cell in (first, second)))
            if self.layouts[one]["dataset"] == self.layouts[other]["dataset"]
        ]
        return min(pairs, key=lambda pair: pair[0] != pair[1], default=None)

    def with_cell(self, cell: Mapping[str, str]) -> list[str]:
        place = (cell["row"], cell["column"])
        return [study for study in self.studies(cell["table"]) if place in self.cells[study]]


def cells_of(layout: Mapping[str, Any]) -> list[Cell]:
    """Return row and column of all numbers of a study: a row without all columns has no summaries."""
    summaries = [summary["column"] for summary in layout["summaries"]]
    found = []
    for row in layout["rows"]:
        columns = [column for column in layout["columns"] if row["cells"].get(column)]
        whole = len(columns) == len(layout["columns"])
        found += [(row["label"], column) for column in [*columns, *(summaries if whole else [])]]
    return found


def comparisons(line: Line, tables: Tables) -> Iterator[dict[str, Any]]:
    """Yield the comparisons of a line."""
    relation = EXTREMES.get(line.relation, (line.relation,))[0]
    for (row, column), (other_row, other_column) in pairs(line, tables):
        first = {"table": line.table, "row": row, "column": column}
        second = {"table": line.other_table, "row": other_row, "column": other_column}
        values = [tables.printed.get(one["table"], {}).get((one["row"], one["column"])) for one in (first, second)]
        yield {
            **{"relation": relation, "margin": line.margin, "first": first, "second": second},
            "printed": None if None in values else values,
            "studies": tables.computing(first, second),
        }


def pairs(line: Line, tables: Tables) -> Iterator[tuple[Cell, Cell]]:
    """Yield the two cells of each comparison of a line. PipelineError for cells that do not exist, or without any."""
    found = 0
    for row, column in product(line.rows, line.columns):
        tables.require(line.where, line.table, row, column)
        for other in others(line, tables, row, column):
            tables.require(line.where, line.other_table, *other)
            if (line.table, row, column) != (line.other_table, *other):
                found += 1
                yield (row, column), other
    if not found and (not line.table.startswith(STUDY) or tables.studies(line.table)):
        raise PipelineError(f"{line.where}: compares a cell with itself only; name `other_row` or `other_column`")


def others(line: Line, tables: Tables, row: str, column: str) -> Sequence[Cell]:
    """Return the cells that one cell of a line is compared with."""
    differs = EXTREMES[line.relation][1] if line.relation in EXTREMES else None
    cells = tables.listed(line.table)
    if differs == "row":
        return [(other, column) for other in line.other_rows or [one for one, name in cells if name == column]]
    if differs == "column":
        columns = [name for one, name in cells if one == row and name not in NO_ACCURACIES]
        return [(row, other) for other in line.other_columns or columns]
    return list(product(line.other_rows or [row], line.other_columns or [column]))
