"""One comparison of a claim: its p-values in both directions, and the samples that would decide it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_lib.reporting.cells import measured
from pipeline_lib.reporting.claim_findings import (
    Finding,
    agreeing_seeds,
    clips_that_decide,
    finding,
    is_true,
    largest,
    p_values,
    pair_text,
    seeds_that_decide,
    smallest,
    surplus,
)
from pipeline_lib.reporting.claims import (
    FAILS,
    HOLDS,
    UNDECIDED,
    deciding,
    described,
    faults,
    printed_outcome,
    result,
    samples,
)
from pipeline_lib.reporting.claims import p_values as p_values_of_claim
from pipeline_lib.reporting.decisions import clips_needed, seeds_needed
from pipeline_lib.reporting.equivalence import clips_for_similarity, similarity
from pipeline_lib.reporting.measured import Measured
from pipeline_lib.reporting.metrics import fraction_of_clips
from pipeline_lib.reporting.paired import compare

HIGHER, LOWER, SIMILAR = ({"relation": relation, "margin": 5.0} for relation in ("higher", "lower", "similar"))
CELLS = {"first": {"table": "t", "row": "A", "column": "c"}, "second": {"table": "t", "row": "B", "column": "c"}}


def cell(*seeds: str, first: int = 0) -> Measured:
    """A cell with one string of correct (1) and wrong (0) clips per seed."""
    names = [f"v{i}" for i in range(len(seeds[0]))]
    found = [fraction_of_clips(pd.Series([mark == "1" for mark in one], names)) for one in seeds]
    return measured(found, range(first, first + len(seeds)))


def without_scores(one: Measured) -> Measured:
    return Measured(cell=one.cell, scores=None)


def found_of(relation: dict[str, Any], first: Measured, second: Measured) -> Finding:
    return finding(relation | CELLS, first, second)


def test_a_finding_has_the_paired_test_of_its_cells() -> None:
    first, second = cell("1" * 9 + "0", "1" * 8 + "00"), cell("1" * 3 + "0" * 7, "1" * 4 + "0" * 6)
    found = found_of(HIGHER, first, second)
    pair = compare(first.scores, second.scores, "t", "A", "c", "t", "B", "c")
    assert (found.holds, found.fails, found.difference) == (pair.p, 1.0, pytest.approx(50.0))
    assert found.found.per_clip.tolist() == pair.per_clip.tolist() == found.changes.mean(axis=1).tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (cell("1110"), without_scores(cell("1000"))),
        (without_scores(cell("1110")), cell("1000")),
        (cell("1110"), cell("1000", first=7)),  # no seed in common
    ],
)
def test_cells_that_cannot_be_compared_decide_nothing(first: Measured, second: Measured) -> None:
    found = found_of(HIGHER, first, second)
    assert found == Finding(comparison=HIGHER | CELLS, difference=50.0, holds=1.0, fails=1.0, found=None, changes=None)
    assert [clips_that_decide(found, 0.05), seeds_that_decide(found, 0.05), agreeing_seeds(found)] == [None] * 3


@pytest.mark.parametrize(
    ("difference", "higher", "lower"),
    [(0.5, (0.25, 1.0), (1.0, 0.25)), (-0.5, (1.0, 0.25), (0.25, 1.0)), (0.0, (1.0, 1.0), (1.0, 1.0))],
)
def test_p_is_of_the_direction_of_the_difference(difference, higher, lower) -> None:
    pair: Any = SimpleNamespace(difference=difference, p=0.25)
    assert (p_values(HIGHER, pair), p_values(LOWER, pair)) == (higher, lower)


def test_similarity_is_tested_against_the_margin_in_points() -> None:
    first, second = cell("1" * 70 + "0" * 30), cell("0" * 2 + "1" * 69 + "0" * 29)
    found = found_of(SIMILAR, first, second)
    assert (found.holds, found.fails) == similarity(found.found.per_clip, 0.05)
    assert clips_that_decide(found, 0.01) == clips_for_similarity(found.found.per_clip, 0.05, 0.01)
    assert seeds_that_decide(found, 0.01) is None
    assert agreeing_seeds(found) is None


def test_by_how_much_a_difference_satisfies_a_comparison() -> None:
    assert [surplus(one, 2.0) for one in (HIGHER, LOWER, SIMILAR)] == [2.0, -2.0, 3.0]
    assert [surplus(one, -7.0) for one in (HIGHER, LOWER, SIMILAR)] == [-7.0, 7.0, -2.0]
    assert [is_true(one, 52.0, 52.0) for one in (HIGHER, LOWER, SIMILAR)] == [False, False, True]
    assert [is_true(one, 52.5, 52.0) for one in (HIGHER, LOWER)] == [True, False]
    margin = SIMILAR | {"margin": 0.1}
    assert 50.1 - 50.0 > 0.1  # by rounding
    assert [is_true(margin, 50.1, 50.0), is_true(margin, 50.2, 50.0)] == [True, False]


def test_samples_of_a_comparison() -> None:
    first = cell("1" * 30 + "0" * 10, "0" * 5 + "1" * 28 + "0" * 7, "1" * 20 + "0" * 20)
    second = cell("1" * 25 + "0" * 15, "1" * 24 + "0" * 16, "1" * 22 + "0" * 18)
    found = found_of(HIGHER, first, second)
    assert clips_that_decide(found, 0.01) == clips_needed(found.found.per_clip, 0.01)
    assert seeds_that_decide(found, 0.5) == seeds_needed(found.changes, 0.5) is not None
    assert agreeing_seeds(found) == 2


def test_cells_in_words() -> None:
    def text(first: tuple[str, str, str], second: tuple[str, str, str]) -> str:
        keys = ("table", "row", "column")
        named = {"first": dict(zip(keys, first, strict=True)), "second": dict(zip(keys, second, strict=True))}
        return pair_text(named).replace("\u2212", "-")

    assert text(("t", "A", "c"), ("u", "A", "c")) == "A c (t) - A c (u)"
    assert text(("t", "A", "c"), ("t", "B", "c")) == "A - B, c"
    assert text(("t", "A", "c"), ("t", "A", "d")) == "A, c - d"
    assert text(("t", "A", "c"), ("t", "B", "d")) == "A c - B d"


def test_smallest_and_largest_numbers() -> None:
    assert [smallest([4, None, 3]), smallest([None]), smallest([])] == [3, None, None]
    assert [largest([4, 3]), largest([4, None]), largest([None]), largest([])] == [4, None, None, None]


def made(relation: dict[str, Any], values: np.ndarray, holds: float, fails: float) -> Finding:
    pair: Any = SimpleNamespace(per_clip=values)
    difference = 100 * float(values.mean())
    return Finding(
        comparison=relation, difference=difference, holds=holds, fails=fails, found=pair, changes=values[:, None]
    )


def test_a_claim_needs_all_comparisons_to_hold_and_one_to_fail() -> None:
    few, many = np.array([1.0] * 2 + [0.0] * 58), np.array([1.0] * 9 + [0.0] * 51)
    both = [made(HIGHER, few, 0.3, 1.0), made(HIGHER, many, 0.2, 1.0)]
    assert p_values_of_claim(both) == (0.3, 1.0)
    assert deciding(both) is both[0]
    assert deciding(both[::-1]) is both[0]
    assert samples(both, 0.05) == {"needed_clips": clips_needed(few, 0.05), "needed_seeds": None}
    against = [made(HIGHER, -few, 1.0, 0.3), made(HIGHER, -many, 1.0, 0.2), made(HIGHER, few, 0.4, 0.4)]
    assert p_values_of_claim(against) == (1.0, pytest.approx(0.6))
    assert deciding(against) is against[1]
    assert samples(against, 0.03)["needed_clips"] == clips_needed(many, 0.03 / 3) < clips_needed(few, 0.03 / 3)
    assert p_values_of_claim([made(HIGHER, few, 0.4, 0.6), made(HIGHER, few, 0.4, 0.7)]) == (0.4, 1.0)


def test_a_difference_of_one_clip_has_a_direction_though_its_p_is_one() -> None:
    one, many = np.array([1.0] + [0.0] * 119), np.array([1.0] * 12 + [0.0] * 108)
    found = found_of(HIGHER, cell("1" * 60), cell("1" * 59 + "0"))
    assert (found.holds, found.fails) == (1.0, 1.0)
    given = made(HIGHER, many, 0.2, 1.0)
    assert samples([made(HIGHER, one, 1.0, 1.0), given], 0.05)["needed_clips"] == clips_needed(one, 0.05)
    assert samples([made(HIGHER, -one, 1.0, 1.0), given], 0.05)["needed_clips"] == clips_needed(-one, 0.05 / 2)


def test_a_claim_is_decided_below_the_level() -> None:
    few = np.array([1.0] * 2 + [0.0] * 58)
    one: Any = SimpleNamespace(per_clip=few, low=0.0, high=7.0, n=60, seeds=(0, 2))
    holds, fails = (
        Finding(comparison=HIGHER | CELLS, difference=3.3, holds=p, fails=other, found=one, changes=few[:, None])
        for p, other in ((0.01, 1.0), (1.0, 0.01))
    )
    assert [result([found], 0.0499, 0.05)["outcome"] for found in (holds, fails)] == [HOLDS, FAILS]
    assert [result([found], 0.05, 0.05)["outcome"] for found in (holds, fails)] == [UNDECIDED] * 2
    assert result([holds], 0.0499, 0.05)["seeds"] == "0 2"
    nothing = found_of(HIGHER, cell("1110"), without_scores(cell("1000")))
    assert result([nothing], 1.0, 0.05)["seeds"] == ""
    assert result([holds], 0.05, 0.03)["needed_clips"] == clips_needed(few, 0.03)


def test_what_is_known_of_a_claim_without_numbers() -> None:
    words = {"id": "c", "work": "W", "place": "P", "statement": "S", "note": "N"}
    one = HIGHER | CELLS | {"printed": None, "studies": ["b", "a"]}
    claim = words | {"comparisons": [one, one | {"printed": (2.0, 1.0)}]}
    assert described(claim) == words | {"studies": "a b", "comparisons": 2, "printed": HOLDS}
    assert printed_outcome(claim | {"comparisons": [one]}) == ""


def test_faults_of_a_claim_are_those_of_its_cells_each_once() -> None:
    found = found_of(HIGHER | {"studies": ["s", "s"]}, cell("1110"), cell("1000"))
    measured_faults: Any = SimpleNamespace(faults={("s", "A", "c"): "no, masked", ("s", "B", "c"): "masked, a"})
    assert faults([found], measured_faults) == "a, masked, no"
