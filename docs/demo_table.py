"""Fills README's table from the tables of a run.

.venv/bin/python docs/demo_table.py results/tables/multibn_white_box.csv README.md    # after `make demo`

What does not exist, such as the worst case in a run without `beside: worst_case`, is shown as -.
"""

import csv
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROWS = ("No Defense", "AT-PGD", "AVG", "MultiBN-manual", "MultiBN")
COLUMNS = ("clean", "mean", "union")
BLOCK = re.compile(r"(<!-- demo table -->\n).*?(<!-- end of demo table -->)", re.DOTALL)
Cells = Mapping[tuple[str, str], Mapping[str, str]]


def filled(document: str, records: Iterable[Mapping[str, str]]) -> str:
    """A document with the table of its marked block made from the rows of a table's CSV file.

    Raises:
        ValueError: without exactly one marked block.
    """
    new, count = BLOCK.subn(lambda block: block[1] + markdown(records) + block[2], document)
    if count != 1:
        raise ValueError(f"{count} blocks between `<!-- demo table -->` and `<!-- end of demo table -->`")
    return new


def markdown(records: Iterable[Mapping[str, str]]) -> str:
    """The table: measured and printed percentages, and the union of the worst cases."""
    # Rows of single seeds follow the pooled one.
    cells = {(record["row"], record["column"]): record for record in records if not record.get("seed")}
    head = "| here / paper | clean | mean | union | worst case |\n|---|---:|---:|---:|---:|\n"
    return head + "".join(f"| {row} | {' | '.join(row_cells(cells, row))} |\n" for row in ROWS)


def row_cells(cells: Cells, row: str) -> list[str]:
    both = [cell(cells.get((row, column), {})) for column in COLUMNS]
    return [*both, percent(cells.get((row, "union"), {}).get("worst"))]


def cell(record: Mapping[str, str]) -> str:
    """Measured and printed value."""
    return f"{percent(record.get('measured'))} / {percent(record.get('paper'))}"


def percent(value: str | None) -> str:
    return f"{float(value):.1f}" if value else "-"


if __name__ == "__main__":
    table, readme = map(Path, sys.argv[1:])
    with table.open(newline="") as file:
        readme.write_text(filled(readme.read_text(), list(csv.DictReader(file))))
