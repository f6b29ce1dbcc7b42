"""Which output files of a rule the report shows, and what it calls them."""

from types import SimpleNamespace
from typing import Any

from pipeline_lib.configuration.paths import Paths
from pipeline_lib.jobs.report_entries import figure_outputs, study_outputs, table_outputs

PATHS = Paths("r")


def shown(outputs: dict[str, Any], **wildcards: str) -> dict[str, tuple[str, dict[str, str], str]]:
    """The category, labels and caption of each file that the report shows."""
    entries = {name: path.flags["report"] for name, path in outputs.items() if hasattr(path, "flags")}
    return {
        name: (one.category, one.labels(SimpleNamespace(**wildcards)), one.caption) for name, one in entries.items()
    }


def test_both_pages_of_a_study_have_its_title():
    outputs = study_outputs(PATHS, {"a": "1 First"})
    assert shown(outputs, study="a") == {
        "html": ("1 Tables", {"table": "1 First"}, "../report/table.rst"),
        "differences_html": ("1 Tables", {"table": "1 First: differences"}, "../report/differences.rst"),
    }
    assert dict(outputs) == PATHS.table_files("{study}") | PATHS.difference_files("{study}")


def test_the_page_of_another_table_is_shown():
    outputs = table_outputs(PATHS.table_files("audit"), "Audit", "audits")
    assert shown(outputs) == {"html": ("1 Tables", {"table": "Audit"}, "../report/audits.rst")}
    assert list(outputs.values()) == [f"r/tables/audit.{ending}" for ending in ("csv", "md", "tex", "html")]


def test_a_figure_without_a_page_shows_its_picture_only():
    titles = {"f": "1 Curves"}
    picture = ("2 Figures", {"figure": "1 Curves"}, "../report/figure.rst")
    page = ("3 Clips and curves", {"page": "1 Curves"}, "../report/figure.rst")
    assert shown(figure_outputs(PATHS, ("png", "pdf", "csv"), titles), figure="f") == {"png": picture}
    assert shown(figure_outputs(PATHS, ("png", "pdf", "html"), titles), figure="f") == {"png": picture, "html": page}
