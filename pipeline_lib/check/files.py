"""The files of a check: its page as HTML and Markdown, and its record."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline_lib.records.checks import Check
from pipeline_lib.reporting.check_page import write_check
from pipeline_lib.reporting.publish import publish


@dataclass(frozen=True, kw_only=True)
class CheckFiles:
    """Where the files of a check are written."""

    html: Path
    markdown: Path
    json: Path


def write_files(check: Check, files: CheckFiles) -> None:
    """Writes all three."""
    write_check(check, files.html, files.markdown)
    publish(files.json, json.dumps(check.plain(), indent=1) + "\n")
