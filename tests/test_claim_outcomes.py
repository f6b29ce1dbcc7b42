"""The outcome of claims, from planted predictions, and how their table is written."""

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from oracles import oracle
from pipeline_lib.configuration.claim_cells import resolve_claims, studies_of
from pipeline_lib.configuration.claims import read_claims
from pipeline_lib.reporting import claim_numbers
from pipeline_lib.reporting.claim_files import (
    SEEDS,
    caption,
    detail_text,
    outcome_text,
    read_claims_table,
    summary_line,
    write_claims,
)
from pipeline_lib.reporting.claims import FAILS, HOLDS, NOT_COMPUTED, NUMBERS, UNDECIDED, build_claims
from pipeline_lib.reporting.decisions import clips_needed
from pipeline_lib.reporting.equivalence import clips_for_similarity, similarity
from pipeline_lib.reporting.opening import opening_page
from test_audit_table import audit_entry
from test_claims import file_of
from test_tables import KINDS, layout_of, write_predictions

PRINTED = {"printed": {(row, column): 50.0 for row in ("A", "BB", "CCC", "D") for column in ("clean", "pgd")}}
ROWS = {
    "A": {"clean": ["1" * 60], "pgd": ["1" * 30 + "0" * 30]},
    "BB": {"clean": ["1" * 58 + "00"], "pgd": ["1" * 10 + "0" * 50]},
    "CCC": {"clean": ["1" * 57 + "000"], "pgd": ["0" * 56 + "1" * 4]},
}


def table_of_claims(layout: dict[str, Any], folder: Path, *lines: str) -> pd.DataFrame:
    claims = resolve_claims(read_claims([file_of(folder, *lines)]), {"study": layout}, PRINTED)
    return build_claims(claims, {"study": layout} if studies_of(claims) else {}).set_index("id", drop=False)


def line(name: str, row: str, column: str, relation: str, other: str = "", margin: str = "") -> str:
    return f"{name},Work,Table 1,Words,study:study,{row},{column},{relation},,{other},,{margin}"


def test_a_claim_holds_if_all_comparisons_do_and_fails_if_one_is_decided_to_the_contrary(tmp_path: Path) -> None:
    lines = (
        line("holds", "A", "pgd", "highest of column"),
        line("fails", "BB", "pgd", "higher", "A; CCC"),
        line("open", "A", "clean", "higher", "BB"),
        "half,Work,Table 1,Words,study:study,BB,pgd,higher,,CCC",
        ",,,,study:study,A,pgd,higher,,BB",
    )
    found = table_of_claims(layout_of(tmp_path, ROWS), tmp_path, *lines)
    assert found["outcome"].to_dict() == {"holds": HOLDS, "fails": FAILS, "open": UNDECIDED, "half": UNDECIDED}
    assert found["compared"].tolist() == found["comparisons"].tolist() == [2, 2, 1, 2]
    below = binomtest(0, 20).pvalue  # A and BB
    apart = binomtest(10, 14).pvalue  # BB and CCC: the last four clips are CCC's only
    assert found.loc["holds", "p"] == pytest.approx(max(below, binomtest(4, 34).pvalue))
    assert found.loc["fails", "p"] == pytest.approx(2 * below)
    assert found.loc["half", "p"] == pytest.approx(apart)
    assert found.loc["fails", "pair"] == "BB \u2212 A, pgd"
    assert found.loc["fails", "difference"] == pytest.approx(-100 * 20 / 60)


def test_among_equal_p_values_the_comparison_that_satisfies_the_claim_least_decides(tmp_path: Path) -> None:
    clean = {"A": "1" * 1200, "BB": "0" * 1200, "CCC": "0" * 1140 + "1" * 60}
    layout = layout_of(tmp_path, {row: {"clean": [scores]} for row, scores in clean.items()})
    holds = [line("highest", "A", "clean", "higher", "BB; CCC"), line("above", "A", "clean", "higher", "CCC; BB")]
    fails = [line("lowest", "A", "clean", "lower", "BB; CCC"), line("below", "A", "clean", "lower", "CCC; BB")]
    found = table_of_claims(layout, tmp_path, *holds, *fails)
    assert (found["p"] == 0).all()  # of 1,140 clips with the same sign: 2 ** -1139 has no floating-point number
    assert (found.loc[["highest", "above"], "pair"] == "A \u2212 CCC, clean").all()
    assert (found.loc[["lowest", "below"], "pair"] == "A \u2212 BB, clean").all()


def test_holm_counts_the_claims_that_are_computed(tmp_path: Path) -> None:
    lines = [line("one", "A", "pgd", "higher", "BB"), line("two", "A", "clean", "higher", "BB")]
    missing = "gone,Work,Table 1,Words,study:elsewhere,A,pgd,higher,,B"
    layout = layout_of(tmp_path, ROWS)
    both, more = (table_of_claims(layout, tmp_path, *given) for given in (lines, [*lines, missing]))
    assert both["p_holm"].tolist() == more["p_holm"].tolist()[:2] == [2 * both["p"].iloc[0], both["p"].iloc[1]]
    assert more["outcome"].tolist() == [HOLDS, UNDECIDED, NOT_COMPUTED]
    assert summary_line(more).startswith("Of 2 claims, 1 hold, 0 do not hold, and 1 are undecided under the papers'")
    assert summary_line(more).endswith("1 claims are about tables that are not computed here.")


def test_an_undecided_claim_has_the_sample_that_decides_it_at_the_level_of_all_claims(tmp_path: Path) -> None:
    lines = [line("one", "A", "pgd", "higher", "BB"), line("open", "A", "clean", "higher", "BB; CCC")]
    found = table_of_claims(layout_of(tmp_path, ROWS), tmp_path, *lines)
    weakest = np.array([1.0] * 2 + [0.0] * 58)
    alone = table_of_claims(layout_of(tmp_path, ROWS), tmp_path, lines[1])
    assert alone.loc["open", "needed_clips"] == clips_needed(weakest, 0.05)
    assert found.loc["open", "needed_clips"] == clips_needed(weakest, 0.05 / 2) > clips_needed(weakest)
    assert pd.isna(found.loc["one", "needed_clips"])
    seeds = {row: {column: cells * 3 for column, cells in cells_of.items()} for row, cells_of in ROWS.items()}
    same = table_of_claims(layout_of(tmp_path, seeds), tmp_path, *lines)
    assert same["p"].tolist() == found["p"].tolist()
    assert pd.isna(same.loc["open", "needed_seeds"])  # the seeds agree: more of them add nothing


def test_cells_that_are_not_computed_are_left_out_and_counted(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {row: ROWS[row] for row in ("A", "BB")}, paper=["printed"])
    given = "part,Work,Table 1,Words,printed,A,pgd,highest of column"
    found = table_of_claims(layout, tmp_path, given, "none,Work,Table 1,Words,printed,CCC,pgd,higher,,D")
    assert found.loc["part", ["compared", "comparisons"]].tolist() == [1, 3]
    assert found["outcome"].tolist() == [HOLDS, NOT_COMPUTED]
    assert found["printed"].tolist() == [FAILS, FAILS]  # 50 is not above 50
    assert "1 hold (1 of them as far as computed)" in summary_line(found)
    assert outcome_text(found.loc["part"].to_dict(), "") == "holds in part (1 of 3)"


def test_the_worst_case_is_decided_beside(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, {"A": ROWS["A"], "BB": ROWS["BB"], "CCC": ROWS["CCC"]})
    worst = {"A": "0" * 60, "BB": "1" * 8 + "0" * 52}
    for row in layout["rows"]:
        row["entries"] = {"clean": [{"attack": "clean"}], "pgd": [{"attack": "pgd"}]}
        if row["label"] in worst:
            path = write_predictions(tmp_path / f"worst{row['label']}.csv", worst[row["label"]])
            row["worst"] = {"pgd": {"cells": [path], "audits": []}}
    lines = (
        line("pgd", "A", "pgd", "higher", "BB"),
        line("clean", "A", "clean", "higher", "BB"),
        line("other", "A", "pgd", "higher", "CCC"),
        "fall,Work,Table 1,Words,study:study,A,pgd,lower,,,clean",
    )
    found = table_of_claims(layout, tmp_path, *lines)
    assert found["outcome"].tolist() == [HOLDS, UNDECIDED, HOLDS, HOLDS]
    places = [("study", row, column) for row in ("A", "CCC") for column in ("clean", "pgd", "union")]
    kinds = [claim_numbers.kind_of(place, {"study": layout}) for place in places]
    assert kinds == ["clean", "worst", "worst", "clean", "attacked", "attacked"]
    # A comparison of clean accuracies has no worst case, nor has one with an attack that has none.
    assert found["worst_outcome"].tolist() == [FAILS, "", "", HOLDS]
    assert found.loc["pgd", "worst_p"] == pytest.approx(2 * 0.5**8)
    assert "In the worst case, of 2, 1 hold, 1 do not hold, and 0 are undecided." in summary_line(found)


def test_several_seeds_state_in_how_many_of_them_a_difference_has_its_sign(tmp_path: Path) -> None:
    """The test is about other clips for these models: three trainings that disagree would otherwise look like one."""
    rows = {
        "A": {"clean": ["1" * 60] * 3, "pgd": ["1" * 50 + "0" * 10, "1" * 40 + "0" * 20, "1" * 10 + "0" * 50]},
        "BB": {"clean": ["1" * 60] * 3, "pgd": ["1" * 20 + "0" * 40, "1" * 20 + "0" * 40, "1" * 12 + "0" * 48]},
    }
    lines = [line("pgd", "A", "pgd", "higher", "BB"), line("similar", "A", "pgd", "similar", "BB", "5")]
    found = table_of_claims(layout_of(tmp_path, rows), tmp_path, *lines)
    assert found["outcome"].tolist() == [HOLDS, FAILS]
    assert found["agreeing"].tolist() == [2, pd.NA]
    assert detail_text(found.loc["pgd"].to_dict(), "").endswith("p < 0.001, in 2 of 3 seeds")
    assert "seeds" not in detail_text(found.loc["similar"].to_dict(), "")
    assert SEEDS in caption(found)
    one = table_of_claims(layout_of(tmp_path, ROWS), tmp_path, line("pgd", "A", "pgd", "higher", "BB"))
    assert "of 1 seeds" not in detail_text(one.loc["pgd"].to_dict(), "")
    assert SEEDS not in caption(one)


def test_faults_of_compared_cells_are_named(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ROWS)
    layout["rows"][1]["audits"] = {"pgd": [audit_entry(tmp_path, zero_gradients=1.0)["audit"]]}
    lines = [line("one", "A", "pgd", "higher", "BB"), line("two", "A", "clean", "higher", "BB")]
    assert table_of_claims(layout, tmp_path, *lines)["faults"].tolist() == ["masked gradient", ""]


def test_similar_means_within_the_margin(tmp_path: Path) -> None:
    rows = {
        "A": {"clean": ["1" * 400], "pgd": ["1" * 400]},
        "BB": {"clean": ["1" * 399 + "0"], "pgd": ["1" * 4 * 75 + "0" * 100]},
    }
    lines = [line("near", "A", "clean", "similar", "BB", "3"), line("far", "A", "pgd", "similar", "BB", "3")]
    lines += [line("open", "A", "pgd", "similar", "BB", "25")]
    found = table_of_claims(layout_of(tmp_path, rows), tmp_path, *lines)
    assert found["outcome"].tolist() == [HOLDS, FAILS, UNDECIDED]


def test_similarity_is_the_test_of_statsmodels_on_many_clips() -> None:
    differences = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 20_000, p=[0.06, 0.87, 0.07])
    within, beyond = similarity(differences, 0.013)
    ttost = oracle("statsmodels.stats.weightstats").ttost_paired
    assert within == pytest.approx(ttost(differences, np.zeros_like(differences), -0.013, 0.013)[0], rel=0.01)
    assert within + beyond == pytest.approx(1)


def test_similarity_errs_in_five_percent_at_the_margin_and_finds_what_its_sample_size_promises() -> None:
    random = np.random.default_rng(1)
    edge = random.choice([-1.0, 0.0, 1.0], (2000, 400), p=[0.05, 0.85, 0.10])
    assert np.mean([similarity(one, 0.05)[0] < 0.05 for one in edge]) < 0.065
    values = np.array([-1.0] * 5 + [0.0] * 90 + [1.0] * 5)
    needed = clips_for_similarity(values, 0.05)
    assert needed is not None
    samples = random.choice(values, (2000, needed + 40))  # two one-sided tests: somewhat more than one needs
    assert 0.6 < np.mean([similarity(one, 0.05)[0] < 0.05 for one in samples]) < 0.9
    assert clips_for_similarity(values + 0.05, 0.05) is None


@pytest.mark.parametrize("clips", [2, 9, 640])
def test_the_sample_of_similarity_is_variance_by_squared_distance(clips: int) -> None:
    """n = var (z of the level + z of the power)^2 / (margin - |mean|)^2; exact numbers are not rounded up."""
    values = np.array([-1.0, 1.0, 0.0, 0.0])
    quantiles = NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.8)
    margin = quantiles * math.sqrt(0.5 / clips)
    assert clips_for_similarity(values, margin) == clips
    assert clips_for_similarity(values, margin * 0.9999) == clips + 1
    assert clips_for_similarity(np.zeros(4), 0.05) == 1


def test_the_table_is_written_in_all_forms_and_read_back(tmp_path: Path) -> None:
    lines = [line("one", "A", "pgd", "higher", "BB"), line("two", "CCC", "clean", "higher", "A")]
    lines += ["gone,Other,Table 2,Nothing <of> it,study:elsewhere,A,pgd,higher,,B"]
    found = table_of_claims(layout_of(tmp_path, ROWS), tmp_path, *lines).reset_index(drop=True)
    paths = {kind: tmp_path / f"claims.{ending}" for kind, ending in KINDS.items()}
    write_claims(found, **paths)
    read = read_claims_table(paths["csv"])
    pd.testing.assert_frame_equal(read, found, rtol=1e-5)
    assert read[NUMBERS].dtypes.eq(float).all()
    markdown = paths["markdown"].read_text()
    assert "holds; A \u2212 BB, pgd: +33.3 [" in markdown
    assert "undecided; CCC \u2212 A, clean: \u22125.0 [" in markdown
    assert "### Not computed here" in markdown
    html = paths["html"].read_text()
    assert ">holds</b>" in html
    assert "Nothing &lt;of&gt; it" in html
    assert r"\caption" in paths["latex"].read_text()
    page = opening_page([], {"seed": 0, "precision": "fp32"}, claims=[paths["csv"]])
    assert page.startswith("Claims of the papers\n====================\n\nOf 2 claims, 1 hold, 0 do not hold")


def test_the_worst_case_of_a_claim_is_that_of_comparisons_without_other_attacks(monkeypatch):
    monkeypatch.setattr(claim_numbers, "kind_of", lambda place, layouts: place[2])

    def comparison(first: str, second: str) -> dict[str, Any]:
        return {"studies": ["s", "s"], "first": {"row": "A", "column": first}, "second": {"row": "B", "column": second}}

    kinds = [("clean", "clean"), ("clean", "worst"), ("worst", "attacked"), ("attacked", "attacked")]
    given = [comparison(*kind) for kind in kinds]
    found = claim_numbers.in_the_worst_case({"id": "c", "comparisons": given}, {})
    assert found == {"id": "c", "comparisons": given[:2]}
    assert claim_numbers.in_the_worst_case({"comparisons": [given[0], *given[2:]]}, {})["comparisons"] == []
