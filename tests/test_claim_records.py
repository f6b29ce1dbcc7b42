"""Claims in the file of all numbers: what they state, and those of several runs side by side."""

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_lib.reporting.claim_files import write_claims
from pipeline_lib.reporting.claim_records import claim_records, claims_side_by_side, result
from pipeline_lib.reporting.claims import FAILS, HOLDS, RESULTS, UNDECIDED
from test_claim_outcomes import ROWS, line, table_of_claims
from test_compare import compared, summary
from test_tables import KINDS
from test_worst_tables import with_worst

__all__ = ["summary"]  # a fixture
LINES = (
    line("holds", "A", "pgd", "higher", "BB"),
    line("open", "A", "clean", "higher", "BB"),
    "gone,Work,Table 1,Words,study:elsewhere,A,pgd,higher,,B",
)


@pytest.fixture
def claims(tmp_path: Path) -> list[dict[str, Any]]:
    """Of a study in whose worst case BB is above A."""
    (tmp_path / "claims").mkdir()
    worst = {"A": ["1" * 2 + "0" * 58], "BB": ["1" * 10 + "0" * 50]}
    layout = with_worst(tmp_path / "claims", ROWS, worst)
    paths = {kind: tmp_path / f"claims.{ending}" for kind, ending in KINDS.items()}
    write_claims(table_of_claims(layout, tmp_path, *LINES), **paths)
    return claim_records(paths["csv"])


def test_a_record_states_verdicts_clips_seeds_and_what_would_decide(claims: list[dict[str, Any]]) -> None:
    holds, undecided = claims  # one is not computed
    assert (holds["id"], holds["statement"], holds["studies"], holds["comparisons"]) == ("holds", "Words", ["study"], 1)
    assert (holds["outcome"], holds["n"], holds["seeds"], holds["needed_clips"]) == (HOLDS, 60, [0], None)
    assert (holds["worst"]["outcome"], holds["worst"]["difference"]) == (FAILS, pytest.approx(-100 * 8 / 60, abs=1e-4))
    assert (undecided["outcome"], undecided["worst"], undecided["needed_seeds"]) == (UNDECIDED, None, None)
    assert undecided["needed_clips"] > 60
    assert json.loads(json.dumps(claims)) == claims


def test_runs_show_their_claims_side_by_side(claims, summary, tmp_path, capsys) -> None:
    mine, other = {**summary, "claims": claims}, {**copy.deepcopy(summary), "claims": claims[:1]}
    page = tmp_path / "page.html"
    status, out, err = compared(capsys, tmp_path, mine, other, options=("--html", str(page)))
    assert (status, err) == (0, "")
    assert "\n\n### Claims of the papers" in out
    assert "\n\n<h2>Claims of the papers</h2>" in page.read_text()
    _, text = [one for one in out.splitlines() if one.startswith("| Words")]
    cells = [cell.strip() for cell in text.split("|")[2:-1]]
    assert len(cells) == 4  # two attacks, two runs
    assert cells[1:] == ["", "", ""]
    assert cells[0].startswith("undecided; A \u2212 BB, clean: +3.3 [")
    assert "decided by about" in cells[0]
    assert cells[0].endswith("; n = 60, seed 0")


def test_claims_about_other_studies_are_left_out(claims) -> None:
    for one in claims:
        one["statement"] = one["id"]
    table = claims_side_by_side({"a": {"claims": claims}, "b": {"claims": claims[:1]}}, ["study"])
    assert table.index.tolist() == ["holds (Work, Table 1)", "open (Work, Table 1)"]
    assert (table.loc["open (Work, Table 1)", "papers' attack, b"], table.shape) == ("", (2, 4))
    assert claims_side_by_side({"a": {"claims": claims}, "b": {}}, ["elsewhere"]).empty


def test_seeds_and_faults_of_a_record_are_lists() -> None:
    row = dict.fromkeys(RESULTS, "") | {
        "n": 60,
        "p": 0.5,
        "seeds": "0 12",
        "faults": "a b, c",
        "agreeing": pd.NA,
        "needed_clips": pd.NA,
        "needed_seeds": pd.NA,
        "compared": 1,
    }
    found = result(row | {"difference": float("nan"), "low": -1, "high": 1, "p_holm": 1}, "")
    assert (found["seeds"], found["faults"]) == ([0, 12], ["a b", "c"])
    assert (found["n"], found["agreeing"], found["difference"], found["p"]) == (60, None, None, 0.5)
    assert result(row | {"faults": "", "difference": 0.0, "low": -1, "high": 1, "p_holm": 1}, "")["faults"] == []


def test_only_cases_with_a_result_are_shown(claims) -> None:
    table = claims_side_by_side({"a": {"claims": claims[1:]}}, ["study"])
    assert (table.columns.tolist(), table.index.name) == (["papers' attack, a"], "claim")
