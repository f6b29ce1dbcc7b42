"""The page that lists every printed table and figure, the configurations that make them, and their state."""

import csv
from collections import Counter
from pathlib import Path

RESOURCES = Path(__file__).parents[1] / "resources"


def page() -> str:
    """A row for each printed table."""
    cells = Counter(row["table"] for row in rows_of_papers())
    with (RESOURCES / "reproduced.csv").open() as file:
        lines = [line(row, cells[row["table"]]) for row in csv.DictReader(file)]
    head = ["| printed table | work | numbers | at paper scale | trainings | small | state |"]
    head += ["|---|---|---:|---|---:|---|---|"]
    return "\n".join([INTRODUCTION, *head, *lines, "", *figures(), ""])


def figures() -> list[str]:
    """The table of printed figures."""
    with (RESOURCES / "reproduced_figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    head = ["| printed figure | work | at paper scale | small | state |", "|---|---|---|---|---|"]
    cells = [
        (row["figure"], row["work"], *map(named, (row["paper_scale"], row["small"])), row["state"]) for row in rows
    ]
    return [*head, *(f"| {' | '.join(each)} |" for each in cells)]


def named(place: str) -> str:
    """A configuration and the name of its figure, given as `configuration/figure`."""
    config, _, figure = place.partition("/")
    return f"`config/{config}.yaml`: `{figure}`" if figure else ""


def rows_of_papers() -> list[dict[str, str]]:
    """All printed numbers."""
    found: list[dict[str, str]] = []
    for path in sorted((RESOURCES / "paper").glob("*.csv")):
        with path.open() as file:
            found += [row for row in csv.DictReader(file) if "value" in row]
    return found


def line(row: dict[str, str], count: int) -> str:
    large, small = (f"`config/{row[key]}.yaml`" if row[key] else "" for key in ("paper_scale", "small"))
    cells = (f"`{row['table']}`", row["work"], str(count), large, row["trainings"], small, row["state"])
    return f"| {' | '.join(cells)} |"


INTRODUCTION = """# What is reproduced

Every table of the four works and of MultiBN's draft, with the configuration that computes all of its rows and columns
at the papers' settings, and one that makes a part of it in minutes. *Planned*: the configuration is complete and a test
plans its jobs, but it has not been run; its study has the printed rows and columns in the printed order, and a few rows
of its own. *Trainings*: models that the study trains at paper scale. *Measured*: [results](results/index.md). Printed
numbers: `resources/paper`.
"""

if __name__ == "<run_path>":  # mkdocs-gen-files
    import mkdocs_gen_files

    with mkdocs_gen_files.open("reproduced.md", "w") as target:
        target.write(page())
