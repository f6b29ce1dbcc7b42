"""Summaries of a table's columns: the names that a study may give, and a user's own function."""

import re
from pathlib import Path

import pandas as pd
import pytest

from own_files import forget
from pipeline_lib.configuration.summaries import resolve_summaries
from pipeline_lib.errors import PipelineError
from pipeline_lib.provenance.fingerprints import fingerprint
from pipeline_lib.reporting.metrics import wilson
from pipeline_lib.reporting.summaries import lowest
from pipeline_lib.reporting.tables import build_table
from readme import example
from test_tables import PAPER, cell_of, layout_of

OWN = (
    example("python", "def worst")
    + """

from pipeline_lib.reporting.metrics import Estimate


def of_clean(correct):
    kept = correct[correct["clean"]]
    return estimate(percentage(kept["pgd"]), len(kept))


def exact(correct):
    return Estimate(percent=50.0, low=40.0, high=60.0, n=7)


def bare(correct):
    return 3.0
"""
)


@pytest.fixture
def beside(tmp_path, monkeypatch) -> Path:
    """A working folder with the user's file."""
    (tmp_path / "my_summaries.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    return tmp_path


def table_of(folder: Path, *names: str) -> pd.DataFrame:
    rows = {"None": {"clean": ["11100", "11110"], "pgd": ["01000", "00110"]}}
    return build_table(layout_of(folder, rows, summaries=resolve_summaries("summaries", names, ())), PAPER)


def test_an_own_summary_is_a_column_with_its_interval_over_seeds(beside):
    names = [f"my_summaries:{name}" for name in ("worst", "of_clean", "exact")]
    table = table_of(beside, "union", *names)
    assert table["column"].tolist() == ["clean", "pgd", "union", "worst", "of_clean", "exact"]
    worst = cell_of(table, "None", "worst")
    assert (worst["measured"], worst["n"]) == (30.0, 5)
    assert (worst["low"], worst["high"]) == (wilson(20, 5)[0], wilson(40, 5)[1])
    kept = cell_of(table, "None", "of_clean")  # of 3 and of 4 clips that are correct without an attack
    assert (kept["measured"], kept["n"]) == (pytest.approx((100 / 3 + 50) / 2), 3)
    assert kept["high"] == pytest.approx(wilson(50, 4)[1])
    exact = cell_of(table, "None", "exact")
    assert (exact["measured"], exact["low"], exact["high"], exact["n"]) == (50, 40, 60, 7)


def test_a_summary_that_returns_no_estimate_is_named(beside):
    with pytest.raises(PipelineError, match=r"summary my_summaries:bare: returned 3\.0, expected an Estimate"):
        table_of(beside, "my_summaries:bare")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["median"],
            "s[0]: unknown summary 'median', and no 'module:function' of your own; known: acc_adv, acc_all",
        ),
        (["mean", "mean"], "s[1]: the table already has a column 'mean'"),
        (["my_summaries:pgd"], "s[0]: the table already has a column 'pgd'"),
        (["mean", "my_summaries:best"], "my_summaries.py has no function 'best'"),
        (["my_summaries:Estimator"], "my_summaries.py has no function 'Estimator'"),
        (["no_such:best"], "no file for the Python module 'no_such'"),
    ],
)
def test_mistakes_are_named_while_planning(beside, names, message):
    with pytest.raises(PipelineError, match=re.escape(message)):
        resolve_summaries("s", names, ["clean", "pgd"])


def test_a_syntax_error_names_file_and_line(beside):
    (beside / "my_summaries.py").write_text("def worst(correct):\n    return (\n")
    with pytest.raises(PipelineError, match=r"my_summaries\.py: line 2: "):
        resolve_summaries("s", ["my_summaries:worst"], [])


def test_a_table_depends_on_the_code_of_its_summaries(beside):
    adapter = beside / "adapter.py"
    adapter.write_text("x = 1")
    codes = {
        fingerprint(adapter, resolve_summaries("s", names, [])) for names in ([], ["mean"], ["my_summaries:worst"])
    }
    assert len(codes) == 3


def test_the_lowest_column_counts():
    correct = pd.DataFrame({"clean": [True, True, True, True], "pgd": [True, False, False, True], "af": [True] * 4})
    found = lowest(correct)
    assert (found.percent, found.n) == (50.0, 4)
    assert (found.low, found.high) == wilson(50.0, 4)
