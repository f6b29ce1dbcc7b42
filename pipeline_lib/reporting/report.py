"""Snakemake's HTML report of the rule `results`, made by a second Snakemake process while the first one runs."""

import glob
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER
from pipeline_lib.jobs.runs import atomic_write
from pipeline_lib.jobs.system_errors import NO_SPACE
from pipeline_lib.reporting.difference_files import NOTHING

# Of Snakemake's objects those that grow with the number of results and jobs, and that its first page does not use.
LATE = ("results", "runtimes_spec", "timeline_spec")
# A property of `window` is a global variable. Its first use replaces it by the object. Until all of them have arrived,
# the page is shown and takes no clicks.
LATE_DEFINITION = """    document.body.inert = true;
    Object.defineProperty(window, "NAME", { configurable: true, get() {
      const value = JSON.parse(document.getElementById("json-NAME").textContent);
      Object.defineProperty(window, "NAME", { value, writable: true });
      return value;
    } });"""
ARRIVED = "<script>document.body.inert = false;</script>\n"


def make_report(
    snakefile: str,
    config: dict[str, Any],
    output: Path,
    stylesheet: str | None = None,
    script: str | None = None,
) -> None:
    """Writes one self-contained HTML file with all outputs that the rules mark for the report.

    config: the effective configuration, including overlays and the command line. stylesheet, script: a
    CSS and a JavaScript file for the page.

    Raises:
        PipelineError: with Snakemake's own message.
    """
    try:
        # A killed job leaves a page, which may be large.
        remove_pages(output)
        with atomic_write(output) as temporary, tempfile.TemporaryDirectory() as folder:
            # Snakemake chooses the report's format by the ending, so the temporary name has the same one.
            page = temporary.with_suffix(".html")
            configfile = Path(folder, "config.json")
            configfile.write_text(json.dumps(config))
            command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--configfile", str(configfile)]
            command += ["--nolock", "--report", str(page), "--cores", "1"]
            command += ["--report-stylesheet", stylesheet] if stylesheet else []
            command += ["results"]
            finished = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            LOGGER.info(finished.stdout + finished.stderr)
            if finished.returncode or not page.exists():
                require_space(finished.stderr)
                raise PipelineError(f"{output}: snakemake --report failed: {finished.stderr.strip()[-2000:]}")
            content = without_empty_pages(without_repeated_links(without_parameters(page.read_text())))
            content = with_script(content, Path(script).read_text()) if script else content
            page.write_text(with_late_objects(content))
            page.replace(temporary)
    finally:
        remove_pages(output)


def without_parameters(page: str) -> str:
    """Return Snakemake's page without the parameters of the jobs, pages of text for each file; results have records."""

    def forget(files: dict[str, Any]) -> None:
        for facts in files.values():
            facts["job_properties"]["params"] = ""

    return changed(page, "results", forget)


def without_repeated_links(page: str) -> str:
    """Return Snakemake's page with each link between two rules once in its graph, not once for each file."""

    def unite(graph: dict[str, Any]) -> None:
        for data in graph["data"]:
            if data["name"].startswith("link-data"):
                data["values"] = list({json.dumps(link): link for link in data["values"]}.values())

    return changed(page, "rulegraph_spec", unite)


def without_empty_pages(page: str) -> str:
    """Return Snakemake's page with an index that does not list tables of differences with nothing to compare."""

    def shown(path: str) -> bool:
        return not path.endswith(".html") or NOTHING not in Path(path).read_text()

    def hide(categories: dict[str, dict[str, list[str]]]) -> None:
        for groups in categories.values():
            for name, paths in groups.items():
                groups[name] = [path for path in paths if shown(path)]

    return changed(page, "categories", hide)


def changed(page: str, name: str, change: Callable[[Any], None]) -> str:
    """Return Snakemake's page after `change` of the object in its line `var NAME = {...};`.

    A page without such a line, or with another object, stays as it is.
    """
    before, start, after = page.partition(f"\n    var {name} = ")
    line, end, rest = after.partition(";\n")
    try:
        found = json.loads(line)
        change(found)
    except (ValueError, AttributeError, TypeError, KeyError):  # of another version of Snakemake
        return page
    return f"{before}{start}{json.dumps(found)}{end}{rest}"


def with_late_objects(page: str) -> str:
    """Return Snakemake's page with its large objects as JSON at its end, each of which is read at its first use.

    As statements of a script the browser reads all of them before it shows anything: the files of all results, and
    times of all jobs, which only the page of statistics uses.
    """
    moved = []
    for name in LATE:
        before, _, after = page.partition(f"\n    var {name} = ")
        line, end, rest = after.partition(";\n")
        if end and is_json(line):
            page = f"{before}\n{LATE_DEFINITION.replace('NAME', name)}\n{rest}"
            moved.append(f'<script type="application/json" id="json-{name}">{line}</script>\n')
    before, end, after = page.rpartition("</body>")
    return f"{before}{''.join(moved)}{ARRIVED}{end}{after}" if moved else page


def is_json(text: str) -> bool:
    """Whether a text is JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def with_script(page: str, script: str) -> str:
    """Return an HTML page with a script at its end."""
    before, end, after = page.rpartition("</body>")
    return f"{before}<script>\n{script}</script>\n{end}{after}"


def remove_pages(output: Path) -> None:
    """Deletes unfinished pages of a report."""
    for page in output.parent.glob(f".{glob.escape(output.name)}.*.html"):
        page.unlink(missing_ok=True)


def require_space(messages: str) -> None:
    """Raises OSError if a program's messages report a full disk."""
    for number in NO_SPACE:
        if os.strerror(number) in messages:
            raise OSError(number, os.strerror(number))
