"""Tables and the report on a full disk: one message that says how much and what to do, and nothing is left."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from limits import file_size_limit
from pipeline_lib.errors import PipelineError
from pipeline_lib.jobs.logs import LOGGER, logging_to
from pipeline_lib.reporting.difference_files import NOTHING
from pipeline_lib.reporting.publish import publish
from pipeline_lib.reporting.report import (
    make_report,
    with_late_objects,
    with_script,
    without_empty_pages,
    without_parameters,
    without_repeated_links,
)


def test_a_full_disk_at_a_table_says_how_much_is_needed(tmp_path):
    publish(tmp_path / "t.csv", "old")
    expected = (
        r"t\.csv: no space left \(File too large\); free some and run again, .* needs 5,000 bytes or more; .*free"
    )
    with pytest.raises(PipelineError, match=expected), file_size_limit(1000):
        publish(tmp_path / "t.csv", "x" * 5000)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "old"


SNAKEFILE = """
rule results:
    output: report("page.txt")
    shell: "echo text > {output}"
"""


class FullDisk:
    """A Snakemake that begins the page and finds the disk full."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, command: list[str], **given: object) -> subprocess.CompletedProcess:
        Path(command[command.index("--report") + 1]).write_text("begun")
        return subprocess.CompletedProcess(command, 1, "", f"OSError: [Errno 28] {self.message}")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("No space left on device", r"no space left \(No space left on device\); free some and run again"),
        ("Disk quota exceeded", r"no space left \(Disk quota exceeded\); free some and run again"),
        ("out of luck", r"snakemake --report failed: .*out of luck"),
    ],
)
def test_a_report_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, message, expected):
    """Nor does what a killed one had begun stay."""
    (tmp_path / ".report.html.123.html").write_text("left by a killed job")
    monkeypatch.setattr(subprocess, "run", FullDisk(message))
    with pytest.raises(PipelineError, match=rf"report\.html: {expected}"):
        make_report("Snakefile", {}, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_script_is_added_at_the_end_of_the_page():
    page = with_script("<body>'</body>' in a text</body></html>", "1 < 2;")
    assert page == "<body>'</body>' in a text<script>\n1 < 2;</script>\n</body></html>"


def test_parameters_of_jobs_are_not_in_the_page():
    files = {
        "t.html": {
            "data_uri": "data:;var results = {}",
            "job_properties": {"rule": "table", "params": "identity={}; x"},
        }
    }
    page = "<script>\n    var results = {};\n</script><p>;\n    var results = 1;\n</p>"
    found = without_parameters(page.replace("{}", json.dumps(files)))
    files["t.html"]["job_properties"]["params"] = ""
    assert found == page.replace("{}", json.dumps(files))


@pytest.mark.parametrize(
    "line", ["<p>page</p>", "\n    var results = [1];\n", '\n    var results = {"a": {}};\n', "\n    var results = {"]
)
def test_a_page_of_another_form_stays_as_it_is(line):
    assert without_parameters(line) == line


def test_each_link_of_the_rule_graph_is_there_once():
    one, other = {"source": 1, "target": 2}, {"source": 0, "target": 2}
    nodes = {"name": "node-data", "values": [one, one]}

    def page(links: list[dict[str, int]]) -> str:
        graph = {"data": [nodes, {"name": "link-data", "values": links}]}
        return f"<script>\n    var rulegraph_spec = {json.dumps(graph)};\n</script>"

    assert without_repeated_links(page([one, other, one])) == page([one, other])
    assert without_repeated_links("<p>page</p>") == "<p>page</p>"


def test_tables_of_differences_without_any_are_not_listed(tmp_path):
    """Pictures and other pages are; a category's order stays."""
    names = ["table.html", "empty.html", "some.html", "chart.png"]
    for name in names:
        (tmp_path / name).write_text(f"<p>{NOTHING}</p>" if name in ("empty.html", "chart.png") else "<p>text</p>")

    def page(listed: list[str]) -> str:
        categories = {"1 Tables": {"": [str(tmp_path / name) for name in listed]}, "2 Figures": {"": []}}
        return f"<script>\n    var categories = {json.dumps(categories)};\n</script>"

    assert without_empty_pages(page(names)) == page(["table.html", "some.html", "chart.png"])
    assert without_empty_pages("<p>page</p>") == "<p>page</p>"


def test_large_objects_are_json_that_is_read_late_and_nothing_else_changes():
    rest = "<script id=a>\n    var logo = 1;\n    </script><p>;\n</p>"
    objects = {"results": {"t.html": {"data_uri": "data:,;\\n"}}, "timeline_spec": {"a": {}}}
    scripts = [f"<script>\n    var {name} = {json.dumps(one)};\n    </script>" for name, one in objects.items()]
    found = with_late_objects(f"{rest}{''.join(scripts)}<script>begin();</script></body></html>")
    assert found.startswith(rest)
    assert found.endswith("inert = false;</script>\n</body></html>")
    for name, one in objects.items():
        assert f"var {name}" not in found
        data = re.search(rf'<script type="application/json" id="json-{name}">(.*?)</script>', found)
        assert json.loads(data[1]) == one
        assert found.index(f'defineProperty(window, "{name}"') < found.index("begin();") < data.start()
    assert found.count("<script") == found.count("</script>") == 3 + 2 * 2


@pytest.mark.parametrize("page", ["<p>page</p>", "\n    var timeline_spec = {a: 1};\n", "\n    var results = {"])
def test_objects_of_another_form_stay_in_their_scripts(page):
    assert with_late_objects(page) == page


@pytest.mark.slow
def test_a_full_disk_at_the_report_leaves_nothing_behind(tmp_path, monkeypatch):
    """Snakemake itself, whose page of 700 kB does not fit; then it does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"], check=True, capture_output=True
    )
    out = tmp_path / "out"
    out.mkdir()
    expected = r"report\.html: no space left \(File too large\); free some and run again"
    with pytest.raises(PipelineError, match=expected), file_size_limit(100_000):
        make_report(str(tmp_path / "Snakefile"), {}, out / "report.html")
    assert list(out.iterdir()) == []
    make_report(str(tmp_path / "Snakefile"), {}, out / "report.html")
    assert list(out.iterdir()) == [out / "report.html"]


def test_a_log_on_a_full_disk_hides_no_message(tmp_path, capsys):
    with logging_to(tmp_path / "log"), file_size_limit(40):
        LOGGER.info("a line that does not fit " * 10)
    assert capsys.readouterr().err == ""
    assert Path(tmp_path / "log").exists()
