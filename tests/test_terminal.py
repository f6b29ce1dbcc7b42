"""What a run shows on the terminal: one line of progress, all of the trouble, and a short ending."""

import io
import json
import subprocess
from pathlib import Path

import pytest

from pipeline_lib.reporting.ending import ending
from pipeline_lib.reporting.progress import follow, line_of

ROOT = Path(__file__).parents[1]
LINES = [
    "rule attack:\n",
    "    output: a\n",
    "\n",
    "1 of 20 steps (5%) done\n",
    "2 of 20 steps (10%) done\n",
    "Error in rule attack:\n",
    "    message: no space left\n",
    "\n",
    "20 of 20 steps (100%) done\n",
]


class Screen(io.StringIO):
    """A screen that is a terminal or is none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_all_is_in_the_log_and_the_screen_has_progress_and_trouble() -> None:
    log, screen = io.StringIO(), Screen(terminal=False)
    seconds = iter([0.0, 10.0, 20.0, 200.0])
    follow(LINES, log, screen, lambda: next(seconds))
    assert log.getvalue() == "".join(LINES)
    assert screen.getvalue().splitlines() == [
        "[#...................] 1 of 20 jobs, about 3 min left, attack",
        "[##..................] 2 of 20 jobs, about 3 min left, attack",
        *("Error in rule attack:", "    message: no space left"),
        "[####################] 20 of 20 jobs, 3 min, attack",
    ]


def test_on_a_terminal_the_progress_stays_in_one_line() -> None:
    screen = Screen(terminal=True)
    follow([line for line in LINES if "rror" not in line and "message" not in line], io.StringIO(), screen)
    assert screen.getvalue().count("\n") == 1
    assert screen.getvalue().count("\r\033[K") == 3


@pytest.mark.parametrize(
    ("done", "seconds", "words"), [(1, 60.0, "about 9 min left"), (9, 90.0, "about 10 s left"), (10, 9000.0, "2.5 h")]
)
def test_the_time_left_follows_from_the_jobs_done(done: int, seconds: float, words: str) -> None:
    assert f"{done} of 10 jobs, {words}, train" in line_of(done, 10, seconds, "train")
    assert len(line_of(done, 10, seconds, "a" * 80)) <= 78


def record(row: str, column: str, measured: float, worst: float | None, flags: list[str]) -> dict:
    beside = None if worst is None else {"measured": worst}
    return {"study": "s", "row": row, "column": column, "measured": measured, "worst": beside, "flags": flags}


def test_the_ending_names_the_report_the_first_table_and_the_doubts(tmp_path: Path) -> None:
    assert "No report yet" in ending(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "report.html").touch()
    study = {"title": "A study", "columns": ["clean", "pgd"], "summaries": [{"column": "union"}]}
    records = [record("AVG", "clean", 90.0, None, []), record("AVG", "pgd", 50.0, 1.0, [])]
    records += [record("AVG", "union", 40.0, 20.4, ["masked gradient"])]
    (tmp_path / "summary.json").write_text(json.dumps({"studies": {"s": study}, "records": records}))
    (tmp_path / "tables/audit.csv").write_text("verdict\nok\nmasked gradient\nweak attack: 6 clips more fall\n")
    text = ending(tmp_path)
    assert f"Report: {tmp_path / 'report.html'}" in text
    assert [line.split() for line in text.splitlines() if "AVG" in line] == [["AVG", "90.0", "40.0*", "(20.4)"]]
    assert "Doubtful: 1 masked gradient, 1 weak attack, of 3 adversarial sets" in text
    assert max(map(len, text.splitlines()[2:-1])) <= 90
    named = {"a": study | {"title": "By name"}, "s": study}
    (tmp_path / "summary.json").write_text(json.dumps({"studies": named, "records": records}))
    (tmp_path / "config.yaml").write_text("studies: {s: {}, a: {}}")
    assert "A study (accuracy" in ending(tmp_path)


def test_make_help_lists_every_target_and_make_demo_fails_if_the_run_fails() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(makefile.partition(".PHONY: ")[2].partition("\n")[0].split())
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in shown.splitlines()} >= targets - {"help"}
    assert "pipefail" in makefile
