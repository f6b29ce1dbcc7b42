"""Results as documents: the tables of a finished run as one page, and some of them inside other files.

    python benchmarks/measured.py --title "The demo" --command "make demo" --tables results/tables \
        --out resources/measured/demo.md

The page is written again: each table with its title and caption, and the machine and versions of this program's run;
with `--sheets results/figures` also a table of the masking sheets there, a row for each.
In the other files the lines between `<!-- table NAME -->` and `<!-- end -->` are replaced by the table of that name.
"""

import argparse
import csv
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import yaml

from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting.figures.masking import LABELS, as_written

BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
AUDIT = "audit"  # a row for each set: too long for a document
SHEETS = "Accuracy in percent under one attack in several forms, and under increasing bounds (the last one: none)."


class Table(NamedTuple):
    title: str
    rows: str
    caption: str


def read_table(path: Path) -> Table:
    """A table as the workflow writes it to Markdown, without the spaces that align it."""
    title, rows, caption = path.read_text().strip().split("\n\n", 2)
    return Table(title.lstrip("# "), re.sub(r"-{4,}", "---", re.sub(r" {2,}", " ", rows)), caption)


def read_tables(folder: Path) -> dict[str, Table]:
    """Name -> table, in the order of the names; PipelineError if there is none."""
    found = {path.stem: read_table(path) for path in sorted(folder.glob("*.md")) if path.stem != AUDIT}
    if not found:
        raise PipelineError(f"{folder}: no tables there; run the workflow first")
    return found


def titles(folder: Path) -> dict[str, str]:
    """Name -> title of the figures with one, by the configuration of the run beside their folder."""
    config = folder.parent / "config.yaml"
    figures = yaml.safe_load(config.read_text())["figures"] if config.exists() else {}
    return {name: figure["title"] for name, figure in figures.items() if figure and figure.get("title")}


def read_sheet(path: Path, title: str) -> dict[str, str]:
    """Column -> cell of one masking sheet: forms of the attack with intervals, bounds without, and the verdict."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    cells = {"transform": title}
    for row in rows:
        measured, low, high = (float(row[key]) for key in ("measured", "low", "high"))
        if row["part"] in LABELS:
            cells[LABELS[row["part"]]] = f"{measured:.1f} [{low:.1f}, {high:.1f}]"
        else:
            cells[f"{row['part']} {as_written(float(row['value']))}"] = f"{measured:.1f}"
    return cells | {"verdict": rows[0]["verdict"]}


def read_sheets(folder: Path) -> Table:
    """The masking sheets of a folder of figures as one table; PipelineError if there is none."""
    named = titles(folder)
    sheets = [read_sheet(path, named.get(path.stem, path.stem)) for path in sorted(folder.glob("masking_*.csv"))]
    if not sheets:
        raise PipelineError(f"{folder}: no masking_*.csv there; run the workflow first")
    found = dict.fromkeys(column for sheet in sheets for column in sheet)
    bounds = [column for column in found if column.startswith(("bound ", "steps "))]
    bounds.sort(key=lambda column: (column.split()[0], fraction(column.split()[1])))
    columns = ["transform", *(name for name in LABELS.values() if name in found), *bounds, "verdict"]
    lines = [columns, ["---"] * len(columns), *([sheet.get(column, "") for column in columns] for sheet in sheets)]
    return Table("Masking sheets", "\n".join(f"| {' | '.join(line)} |" for line in lines), SHEETS)


def fraction(text: str) -> float:
    """A number that may be written as a fraction, 8/255."""
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


def page(title: str, command: str, tables: dict[str, Table]) -> str:
    """A page of all tables."""
    machine = f"{platform.machine()}, torch {version('torch')}, Python {platform.python_version()}"
    parts = [f"## {table.title}\n\n{table.rows}\n\n{table.caption}" for table in tables.values()]
    return "\n\n".join([f"# {title}", f"`{command}`, on {machine}.", *parts]) + "\n"


def with_tables(text: str, tables: dict[str, Table], file: Path) -> str:
    """The text with each of its blocks replaced; PipelineError if it has none, or names one without a table."""
    named = {name for _, name, _ in BLOCK.findall(text)}
    if not named:
        raise PipelineError(f"{file}: no block between <!-- table NAME --> and <!-- end -->")
    if missing := sorted(named - set(tables)):
        raise PipelineError(f"{file}: no table {', '.join(missing)}; known: {', '.join(tables)}")
    return BLOCK.sub(lambda block: f"{block[1]}{tables[block[2]].rows}\n{block[3]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", default="The demo")
    parser.add_argument("--command", default="make demo", help="that made the tables; written on the page")
    parser.add_argument("--tables", type=Path, default=Path("results/tables"))
    parser.add_argument("--sheets", type=Path, help="folder of figures, for the masking sheets in it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--within", type=Path, nargs="*", default=[], help="files with blocks")
    options = parser.parse_args()
    tables = read_tables(options.tables)
    tables |= {"sheets": read_sheets(options.sheets)} if options.sheets else {}
    inside = {file: with_tables(file.read_text(), tables, file) for file in options.within}
    for file, text in ({options.out: page(options.title, options.command, tables)} | inside).items():
        file.write_text(text)


if __name__ == "__main__":
    main()
