"""Measured numbers in documents: each has the command that measures it beside it, or a link to the page that has it."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from readme import DOCUMENTS, ROOT

MEASURED = sorted((ROOT / "resources/measured").glob("*.md"))
PAGES = [*DOCUMENTS, ROOT / "benchmarks/README.md"]
# A number with a unit of what is measured, or one before its interval. 95 % and 5 % are levels of intervals and tests.
UNITS = r"%|points|(?:ms|s|min|h|MB|GB|TFLOP|PFLOP|seconds|minutes|hours)\b|clips/s"
NUMBER = re.compile(rf"(?<![\w./-])(?!95 %|5 %)(?:\d[\d,]*(?:\.\d+)? (?:{UNITS})|\d+\.\d \[)")
COMMAND = r"`(?:\.venv/bin/)?(?:python|snakemake|make)\b[^`]*`|^ *```sh"
LINK = r"\]\([^)]*(?:results|measured|performance|reliability)[^)]*\)|`(?:resources/measured|benchmarks)/"
SOURCE = re.compile(f"{COMMAND}|{LINK}", re.MULTILINE)
# Sections whose numbers are settings, or limits of a verdict, and not measured.
SETTINGS = {
    ("configuration/figures.md", "# Figures"),
    ("configuration/figures.md", "# journal.mplstyle"),
    ("explanation/claims.md", "## How a claim is decided"),
    ("how-to/black-box.md", "## Attacks that transfer"),
}


def sections(text: str) -> list[str]:
    """The parts of a document from one heading to the next."""
    return re.split(r"^(?=#+ )", text, flags=re.MULTILINE)


def without_source(text: str) -> list[str]:
    """The headings of sections that have a measured number, and neither a command nor a link to a page that has it."""
    found = [part for part in sections(text) if NUMBER.search(part) and not SOURCE.search(part)]
    return [part.splitlines()[0] for part in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_section_with_a_measured_number_has_its_command_or_the_page_that_has_it(page: Path) -> None:
    name = f"{page.parent.name}/{page.name}"
    settings = {heading for document, heading in SETTINGS if document == name}
    assert set(without_source(page.read_text())) == settings


@pytest.mark.parametrize("page", [path for path in MEASURED if path.name != "README.md"], ids=lambda path: path.name)
def test_every_page_of_results_begins_with_its_command(page: Path) -> None:
    """Each of its tables is of this command, unless the section has one of its own."""
    beginning = "".join(sections(page.read_text())[:2])
    assert re.search(COMMAND, beginning, re.MULTILINE) or not without_source(page.read_text())


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# A\n\nIt took 3 min 5 s.\n", ["# A"]),
        ("# A\n\nIt took 3 min (`make demo`).\n", []),
        ("# A\n\nIt took 3 min ([all](results/demo.md)).\n", []),
        ("# A\n\n`make demo`\n\n## B\n\n| AVG | 67.6 [62.1, 71.0] |\n", ["## B"]),
        ("# A\n\n95 % intervals of 402 clips, bound 8/255, width 0.5\n", []),
    ],
)
def test_a_number_without_its_source_is_found(text: str, headings: list[str]) -> None:
    assert without_source(text) == headings


@pytest.mark.parametrize("page", MEASURED, ids=lambda path: path.name)
def test_pages_of_results_name_configurations_that_exist(page: Path) -> None:
    named = re.findall(r"\bconfig/\w+\.yaml", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_the_head_of_a_configuration_with_a_number_has_its_command(path: Path) -> None:
    head = "\n".join(takewhile(lambda line: line.startswith("#"), path.read_text().splitlines()))
    assert not NUMBER.search(head) or re.search(r"#   snakemake |`make plan\b|resources/measured/", head)
