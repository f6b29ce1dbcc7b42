"""Paired comparisons against scipy, statsmodels, enumeration and simulation."""

from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oracles import oracle
from pipeline_lib.errors import PipelineError
from pipeline_lib.reporting import decisions, paired
from pipeline_lib.reporting.decisions import HIGHER, LOWER, UNDECIDED, clips_needed, decide, seeds_needed
from pipeline_lib.reporting.paired import (
    adjusted_wald,
    binomial_tails,
    bootstrap,
    compare,
    holm,
    sign_test,
    tails_of_signed_sum,
)


def scores(*seeds: str) -> pd.DataFrame:
    """One string of correct (1) and wrong (0) clips per seed."""
    values = {seed: [float(mark) for mark in marks] for seed, marks in enumerate(seeds)}
    return pd.DataFrame(values, index=[f"v{index}" for index in range(len(seeds[0]))])


def discordant(higher: int, lower: int, clips: int) -> np.ndarray:
    return np.array([1.0] * higher + [-1.0] * lower + [0.0] * (clips - higher - lower))


@pytest.mark.parametrize(("higher", "lower"), [(0, 0), (5, 0), (1, 6), (12, 12), (30, 11), (700, 500)])
def test_one_seed_is_mcnemar_of_scipy_and_statsmodels(higher: int, lower: int) -> None:
    differences = discordant(higher, lower, 1500)
    p = sign_test(differences)
    expected = stats.binomtest(higher, higher + lower).pvalue if higher + lower else 1
    assert p == pytest.approx(expected, rel=1e-9)
    mcnemar = oracle("statsmodels.stats.contingency_tables").mcnemar
    table = [[100, higher], [lower, 1400 - higher - lower]]
    assert p == pytest.approx(mcnemar(table, exact=True).pvalue if higher + lower else 1, rel=1e-9)


def test_several_seeds_are_the_enumeration_of_the_signs_of_clips() -> None:
    differences = np.array([1, 2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, -1, 1 / 3])
    values = differences[differences != 0]
    sums = [abs(np.dot(values, signs)) for signs in product((1, -1), repeat=len(values))]
    assert sign_test(differences) == pytest.approx(np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9), abs=1e-12)


def test_the_same_answers_in_every_seed_are_no_new_evidence() -> None:
    one = compare(scores("1111100011"), scores("0000000111"))
    three = compare(scores(*["1111100011"] * 3), scores(*["0000000111"] * 3))
    assert one is not None
    assert three is not None
    assert (one.p, one.low, one.high) == pytest.approx((three.p, three.low, three.high))
    assert three.seeds == (0, 1, 2)


def test_a_large_lattice_has_its_normal_limit(monkeypatch) -> None:
    differences = np.random.default_rng(0).integers(-4, 5, 2000) / 12
    exact = sign_test(differences)
    assert 0.01 < exact < 0.5
    monkeypatch.setattr(paired, "MOST_SUMS", 10)
    assert sign_test(differences) == pytest.approx(exact, rel=0.05, abs=0)


def test_p_is_exact_up_to_the_most_sums_and_its_normal_limit_above(monkeypatch) -> None:
    differences = np.array([1.0] * 9 + [0.5] * 5 + [-0.5] * 2)  # in halves: a sum of 21 of at most 25
    exact, limit = sign_test(differences), 2 * stats.norm.sf(21 / np.sqrt(9 * 4 + 7))
    assert abs(exact - limit) > 1e-4
    for most, expected in ((25, exact), (24, limit)):
        monkeypatch.setattr(paired, "MOST_SUMS", most)
        assert sign_test(differences) == pytest.approx(expected, rel=1e-9, abs=0)


def test_tails_are_those_of_the_enumeration_up_to_the_largest_sum() -> None:
    sums = np.abs([np.dot((1, 1, 2), signs) for signs in product((1, -1), repeat=3)])
    for total in range(5):
        found = tails_of_signed_sum(np.array([1, 2]), np.array([2, 1]), total)
        assert found == pytest.approx(np.mean(sums >= total))
    assert [binomial_tails(4, fewer) for fewer in (0, 1, 2)] == pytest.approx([2 / 16, 10 / 16, 1])


def test_no_p_is_below_that_of_equal_signs() -> None:
    assert sign_test(np.array([1.0, 0.5] * 300)) == 2.0 ** (1 - 600)


@pytest.mark.parametrize("total", [2, 40, 150, 290, 298, 300])
def test_tails_are_accurate_however_small(total):
    """Beside the exact distribution in whole numbers: of 60 signs of 1, 30 of 2 and 60 of 3, down to p = 2 ** -149."""
    ways = {0: 1}
    for value in [1] * 60 + [2] * 30 + [3] * 60:
        sums = Counter()
        for so_far, count in ways.items():
            sums.update({so_far + value: count, so_far - value: count})
        ways = sums
    exact = sum(count for reached, count in ways.items() if abs(reached) >= total) / 2**150
    found = tails_of_signed_sum(np.array([1, 2, 3]), np.array([60, 30, 60]), total)
    assert found == pytest.approx(exact, rel=1e-11, abs=0)


@pytest.mark.parametrize(("first", "second"), [("1100", "0110"), ("1110", "0110")])
def test_turning_the_rows_turns_the_comparison(first: str, second: str) -> None:
    there, back = compare(scores(first), scores(second)), compare(scores(second), scores(first))
    assert there is not None
    assert back is not None
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert there.p == back.p


def test_the_interval_of_single_columns_is_that_of_bonett_and_price() -> None:
    """p12 = (f12 + 1) / (n + 2), p21 alike: p12 - p21 +- z sqrt((p12 + p21 - (p12 - p21)^2) / (n + 2))."""
    p12, p21 = 13 / 52, 3 / 52
    half = stats.norm.ppf(0.975) * np.sqrt((p12 + p21 - (p12 - p21) ** 2) / 52)
    assert adjusted_wald(discordant(12, 2, 50)) == pytest.approx((p12 - p21 - half, p12 - p21 + half))


def test_rows_that_agree_everywhere_have_an_interval_of_positive_width() -> None:
    found = compare(scores("1100" * 10), scores("1100" * 10))
    assert found is not None
    assert found.low == pytest.approx(-found.high)
    assert 5 < found.high < 10
    assert found.p == 1


def test_the_bootstrap_is_that_of_scipy_repeats_and_depends_on_the_names() -> None:
    values = np.random.default_rng(1).integers(-2, 4, 400) / 5
    size = np.sqrt((values[values != 0] ** 2).mean())
    data = (np.append(values, (size, -size)),)
    expected = stats.bootstrap(data, np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    found = bootstrap(values, "study", "mean", "a", "b")
    assert found == pytest.approx((expected.low, expected.high), abs=0.003)
    assert found == bootstrap(values, "study", "mean", "a", "b")
    assert found != bootstrap(values, "study", "mean", "ab", "")


@pytest.mark.parametrize("values", [[0.04, 0.01, 0.03, 0.02], [0.5, 0.9, 0.6], [0.011, 0.01, 0.6, 0.6, 0.001], [0.2]])
def test_holm_is_that_of_statsmodels(values: list[float]) -> None:
    expected = oracle("statsmodels.stats.multitest").multipletests(values, method="holm")[1]
    assert holm(values) == pytest.approx(expected.tolist())
    with_gap = holm([float("nan"), *values])
    assert np.isnan(with_gap[0])
    assert with_gap[1:] == pytest.approx(expected.tolist())


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


def test_rows_are_matched_by_video_and_by_seed() -> None:
    first, second = scores("1100", "1111"), scores("0111").rename(columns={0: 1})
    found = compare(first, second.sample(frac=1, random_state=1))
    assert found is not None
    assert (found.difference, found.seeds, found.n) == (25, (1,), 4)
    assert compare(first[[0]], second) is None


def test_other_clips_are_refused() -> None:
    with pytest.raises(PipelineError, match="clip v4 is in one of two rows only"):
        compare(scores("1100"), scores("11001"))


def correct_answers(generator: np.random.Generator, rates: list[float], samples: int, seeds: int, clips: int):
    """(samples, seeds, columns, clips): dependent by a difficulty of each clip that seeds and columns share."""
    shared = generator.standard_normal((samples, 1, 1, clips))
    own = generator.standard_normal((samples, seeds, len(rates), clips))
    return np.sqrt(0.5) * (shared + own) < stats.norm.ppf(rates)[:, None]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("first", "second", "interval"),
    [([0.5], [0.4], adjusted_wald), ([0.9, 0.3, 0.3, 0.1, 0.05], [0.9, 0.4, 0.2, 0.05, 0.02], bootstrap)],
    ids=["column", "mean"],
)
def test_intervals_cover_in_93_to_97_percent(first, second, interval, seeds, monkeypatch) -> None:
    monkeypatch.setattr(paired, "RESAMPLES", 400)
    generator, expected = np.random.default_rng(7), np.mean(first) - np.mean(second)
    one, other = (correct_answers(generator, rates, 1000, seeds, 108).mean((1, 2)) for rates in (first, second))
    intervals = np.array([interval(differences) for differences in one - other])
    covered = np.mean((intervals[:, 0] <= expected) & (expected <= intervals[:, 1]))
    assert 0.93 <= covered <= 0.97


def test_decisions_name_the_direction_and_the_sample() -> None:
    better, worse = scores("1" * 60), scores("1" * 40 + "0" * 20)
    assert (decide(better, worse).outcome, decide(worse, better).outcome) == (HIGHER, LOWER)
    close = decide(scores("1" * 30 + "0" * 30), scores("0" * 4 + "1" * 25 + "0" * 31))
    assert close.outcome == UNDECIDED
    assert close.clips is not None
    assert close.clips > 60
    assert close.seeds is None  # one seed does not tell how seeds vary
    assert decide(better, better).clips is None
    assert decide(better, worse.rename(columns={0: 5})).comparison is None
    assert decide(better, worse, level=1e-9).outcome == UNDECIDED


def test_the_clips_that_are_needed_have_a_power_of_80_percent() -> None:
    differences = discordant(25, 10, 100)
    clips = clips_needed(differences)
    spread = 1.959964 * np.sqrt(0.35) + 0.8416212 * np.sqrt(0.35 - 0.15**2)
    assert clips == int(np.ceil((spread / 0.15) ** 2))  # Connor (1987)
    higher, lower, _ = np.random.default_rng(3).multinomial(clips, (0.25, 0.10, 0.65), 4000).T
    power = np.mean([stats.binom.cdf(min(pair), sum(pair), 0.5) < 0.025 for pair in zip(higher, lower, strict=True)])
    assert 0.75 < power < 0.83  # the exact test is a little below its nominal level


def test_seeds_help_where_the_differences_are_those_of_seeds() -> None:
    generator = np.random.default_rng(5)
    of_seeds = generator.choice([1.0, -1.0, 0.0], p=[0.4, 0.3, 0.3], size=(100, 4))
    needed = seeds_needed(of_seeds)
    assert needed is not None
    assert 1 < needed < 30
    assert seeds_needed(np.repeat(of_seeds[:, :1] - 0.05, 3, axis=1)) is None  # all of the variance is that of clips
    assert seeds_needed(of_seeds[:, :1]) is None


def test_the_seeds_that_are_needed_by_hand() -> None:
    """Clip i has the mean 0.3 + f or 0.3 - f over three seeds, which have e more, as much, and e less."""
    clips, mean, f, e = 72, 0.3, 0.9, 0.5
    changes = mean + f * np.resize([1.0, -1.0], clips)[:, None] + e * np.array([1.0, 0.0, -1.0])
    between = f**2 - e**2 / 3  # of clips: what the mean of three seeds adds is not theirs

    def clips_for(seeds: int) -> float:
        spread = np.sqrt(between + e**2 / seeds)
        return float(((1.959964 * np.sqrt(mean**2 + spread**2) + 0.8416212 * spread) / mean) ** 2)

    needed = seeds_needed(changes)
    assert needed is not None
    assert needed > 2
    assert clips_for(needed) <= clips < clips_for(needed - 1)
    assert seeds_needed(np.tile(changes, (2, 1))) == 1  # of twice as many clips
    assert seeds_needed(changes[:, :2]) is not None


def test_a_difference_of_less_than_a_point_has_a_direction() -> None:
    better, worse = scores("1" * 1000), scores("1" * 992 + "0" * 8)
    assert (decide(better, worse).outcome, decide(worse, better).outcome) == (HIGHER, LOWER)


def test_an_interval_of_few_clips_stays_within_all_of_them() -> None:
    assert adjusted_wald(np.ones(3))[1] == 1
    assert adjusted_wald(-np.ones(3))[0] == -1


def test_a_p_at_the_level_decides_nothing() -> None:
    better, worse = scores("11111"), scores("00000")
    assert decide(better, worse, level=2**-4).outcome == UNDECIDED
    assert decide(better, worse, level=2**-3).outcome == HIGHER


def test_a_whole_number_of_clips_that_are_needed_is_not_rounded_up() -> None:
    """All clips differ alike, so that the square of the quantile is enough."""
    assert [clips_needed(np.ones(3), 2 * stats.norm.sf(deviations)) for deviations in (2, 3)] == [4, 9]


def test_seeds_are_tried_up_to_the_most(monkeypatch) -> None:
    changes = 0.3 + 0.9 * np.resize([1.0, -1.0], 72)[:, None] + 0.5 * np.array([1.0, 0.0, -1.0])
    needed = seeds_needed(changes)
    assert needed is not None
    for most, expected in ((needed, needed), (needed - 1, None)):
        monkeypatch.setattr(decisions, "MOST_SEEDS", most)
        assert seeds_needed(changes) == expected
