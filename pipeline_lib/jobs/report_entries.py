"""Output files of the rules for tables and figures, of which Snakemake's report shows pages and pictures."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline_lib.configuration.paths import Paths

TABLES, FIGURES, PAGES = "1 Tables", "2 Figures", "3 Clips and curves"  # categories, in the order of the report
CAPTIONS = "../report"  # from the rules' folder


def study_outputs(paths: Paths, titles: Mapping[str, str]) -> dict[str, Any]:
    """The files of the table of the wildcard `study`, and of that of its differences. titles: of studies by name."""
    tables = _with_page(paths.table_files("{study}"), lambda wildcards: titles[wildcards.study], "table")
    return tables | _with_page(
        paths.difference_files("{study}"), lambda wildcards: f"{titles[wildcards.study]}: differences", "differences"
    )


def table_outputs(files: Mapping[str, str], title: str, caption: str) -> dict[str, Any]:
    """The files of a table that is not of one study. caption: the name of its template."""
    return _with_page(files, lambda wildcards: title, caption)


def figure_outputs(paths: Paths, endings: Iterable[str], titles: Mapping[str, str]) -> dict[str, Any]:
    """The files of the wildcard `figure`, by ending: its picture and its page are shown. titles: of figures by name."""
    shown = {"png": (FIGURES, "figure"), "html": (PAGES, "page")}
    return {
        ending: _shown(path, *shown[ending], lambda wildcards: titles[wildcards.figure], "figure")
        if ending in shown
        else path
        for ending, path in paths.figure_files("{figure}", endings).items()
    }


def _with_page(files: Mapping[str, str], title: Callable[[Any], str], caption: str) -> dict[str, Any]:
    """The files of a table by name; the page, whose name ends in `html`, is shown."""
    return {
        name: _shown(path, TABLES, "table", title, caption) if name.endswith("html") else path
        for name, path in files.items()
    }


def _shown(path: str, category: str, column: str, title: Callable[[Any], str], caption: str) -> Any:
    """A path with its entry in the report; title: of the file, by its wildcards, in a column of the report's index."""
    from snakemake.io import report

    template = f"{CAPTIONS}/{caption}.rst"
    return report(path, category=category, caption=template, labels=lambda wildcards: {column: title(wildcards)})
