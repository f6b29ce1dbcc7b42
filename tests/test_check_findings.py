"""The rules of a robustness check on measurements made by hand: which findings, by what, and in which words."""

import pytest
from scipy.stats import binomtest

from pipeline_lib.records.checks import (
    CASCADE,
    CLEAN,
    GIVEN,
    GRADIENT_FREE,
    GROWING,
    NAIVE,
    NOISE,
    TRANSFER,
    WHITE_BOX,
    Finding,
    Part,
)
from pipeline_lib.reporting import check_comparisons, check_given, checks
from pipeline_lib.reporting.check_comparisons import error_probability, gap, is_inside, paired, worst_case
from pipeline_lib.reporting.metrics import wilson

SOUND = {"ratio": 1.0, "unchanged": 0.0, "excess": 0.0, "gradients": 10, "train_mode": False, "half": False}
SOUND |= {"low": 0.0, "high": 1.0, "zero_gradients": 0.0}


def part(kind: str, correct: str, name: str = "", order: float = 0.0, first: int = 0, **facts) -> Part:
    """A measurement of clips from number `first` on, correct (1) or not (0)."""
    rows = tuple(range(first, first + len(correct)))
    marks = tuple(mark == "1" for mark in correct)
    return Part(name=name or kind, title=name.upper(), kind=kind, order=order, rows=rows, correct=marks, facts=facts)


def share(correct: int, clips: int) -> str:
    return "1" * correct + "0" * (clips - correct)


def given(correct: str = "0" * 20, **facts) -> Part:
    return part(GIVEN, correct, **(SOUND | facts))


def brief(findings) -> list[tuple[str, str, str]]:
    return [(one.name, one.severity, one.decided_by) for one in findings]


OUTPUTS = [
    ({}, "", ""),
    ({"constant": True, "distinct_logits": 0.1}, "constant model", "The output does not change with the input: the "),
    ({"distinct_logits": 0.5}, "", ""),
    ({"distinct_logits": 0.494}, "quantized logits", "Only 49 % of the logits are distinct: they are quantized, and "),
    ({"probabilities": True}, "softmax output", "The outputs are probabilities (each row sums to 1), not logits: "),
    ({"train_mode": "A sentence."}, "train mode", "A sentence. Call network.eval() before the evaluation."),
    ({"batch_gap": 0.01}, "", ""),
    ({"batch_gap": 0.011}, "depends on the batch", "A clip's logits depend on the other clips of the batch (BatchNo"),
    ({"batch_gap": 0.5, "random": True}, "", ""),
    ({"clipped": 0.25}, "clipped input", "25 % of the pixels have no gradient because of their value: the network "),
]


@pytest.mark.parametrize(("facts", "name", "words"), OUTPUTS)
def test_faults_of_outputs(facts, name, words):
    found = list(checks.of_outputs([], facts))
    assert brief(found) == ([(name, "faulty", "gradients" if "clipped" in facts else "outputs")] if name else [])
    assert all(one.sentence.startswith(words) for one in found)


UNITS = (
    "On clips in 0..255 the model is correct on 90 % instead of 50 %. Put the conversion into the network, so that "
    "clips are in [0, 1] and the bound has the stated unit."
)
SHIFTED = "With labels shifted by +1 80 % are correct instead of 50 %: labels and model count classes differently."
NOTHING = (
    "The clean accuracy, 50.0 %, does not lie above that of a constant answer (45.0 %): there is no robustness to "
    "measure."
)
SCALE = {"better_scale": "clips in 0..255", "better_scale_percent": 90.0}
LABELS = {"better_labels": "labels shifted by +1", "better_labels_percent": 80.0}
LOW, HIGH = wilson(50.0, 20)


@pytest.mark.parametrize(
    ("facts", "name", "words"),
    [
        ({"majority": LOW - 1e-9}, "", ""),
        ({"majority": LOW}, "learned nothing", ""),
        ({"majority": 45.0}, "learned nothing", NOTHING),  # between LOW and HIGH
        ({"majority": HIGH + 1, "constant": True}, "", ""),  # a finding of the outputs
        (SCALE | LABELS | {"majority": 45.0}, "input in other units", UNITS),
        (LABELS | {"majority": 45.0}, "shifted labels", SHIFTED),
    ],
)
def test_faults_of_labels(facts, name, words):
    found = list(checks.of_labels([part(CLEAN, share(10, 20), "clean")], facts))
    assert brief(found) == ([(name, "faulty", "clean")] if name else [])
    assert not words or [one.sentence for one in found] == [words]


def test_zero_gradients_are_plain_masking_where_a_block_has_none():
    assert [list(checks.of_gradients([], facts)) for facts in ({}, {"zero_gradients": 0.01})] == [[], []]
    assert list(checks.of_gradients([], {"zero_gradients": 1.0, "constant": True})) == []
    (cut,) = checks.of_gradients([], {"zero_gradients": 0.011})
    assert brief([cut]) == [("zero gradients", "masked", "gradients")]
    (plain,) = checks.of_gradients([], {"zero_gradients": 0.75, "blocks": ("a", "b", "c", "d")})
    assert brief([plain]) == [("detached transform", "masked plainly", "gradients")]
    assert plain.sentence.startswith("75 % of the clips have a gradient of exactly zero: a, b, c has none. The attacks")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NOISE, "Random noise"),
        (TRANSFER, "Transfer from a stand-in"),
        (GRADIENT_FREE, "A search without gradients"),
    ],
)
def test_an_attack_without_gradients_that_is_stronger_than_all_with(kind, words):
    """Eight clips that fall under it alone decide (2 ** -8), seven do not."""
    white = [part(WHITE_BOX, share(12, 20), "pgd_4"), part(CASCADE, share(10, 20), "cascade")]
    (found,) = checks.of_strength([*white, part(kind, share(2, 20), "other")], {})
    assert brief([found]) == [(f"{kind} is stronger", "masked", "other")]
    assert (
        found.sentence == f"{words} is stronger than every white-box attack: 10.0 against 50.0 % of the same 20 clips."
    )
    assert list(checks.of_strength([*white, part(kind, share(3, 20), "other")], {})) == []


def test_of_equally_strong_attacks_the_one_on_more_clips_counts():
    white = [part(WHITE_BOX, share(9, 10), "few"), part(WHITE_BOX, share(18, 20), "many", order=1)]
    (found,) = checks.of_strength([*white, part(NOISE, "0" * 20)], {})
    assert found.sentence.endswith("0.0 against 90.0 % of the same 20 clips.")


def test_without_a_white_box_attack_nothing_is_decided():
    (found,) = checks.of_strength([part(CLEAN, "1"), part(NOISE, "0")], {})
    assert brief([found]) == [("no attack", "undecided", "clean")]
    assert found.sentence.startswith("No white-box attack fits into the budget: give more")


def test_larger_bounds_that_leave_more():
    """Each is compared with the one before it, the first with the strongest attack; the last has to leave nothing."""
    white = part(WHITE_BOX, share(5, 30), "pgd_4")
    bounds = [part(GROWING, share(count, 30), f"bound {i}", i) for i, count in enumerate((14, 2, 12))]
    found = list(checks.of_strength([white, *bounds], {}))
    assert brief(found) == [
        ("larger bound is weaker", "masked", "bound 0"),
        ("larger bound is weaker", "masked", "bound 2"),
        ("unbounded attack fails", "masked", "bound 2"),
    ]
    assert found[0].sentence == "A larger bound leaves more clips correct: 46.7 against 16.7 % of the same 30 clips."
    assert found[1].sentence == "A larger bound leaves more clips correct: 40.0 against 6.7 % of the same 30 clips."
    assert found[2].sentence.startswith("40.0 % is left at the largest bound, at which every clip can become any")
    clips = ((5, 30), (8, 100), (1, 30))
    bounds = [part(GROWING, share(*count), f"bound {i}", i) for i, count in enumerate(clips)]
    assert list(checks.of_strength([white, *bounds], {})) == []  # 0.6 % is the lower limit of one of 30


def test_an_attack_that_is_weaker_without_bpda_or_eot():
    naive = part(NAIVE, share(18, 20), "without bpda")
    same = part(WHITE_BOX, share(10, 20), "pgd_4")
    (found,) = checks.of_detours([part(WHITE_BOX, "0" * 20, "apgd"), same, naive], {})
    assert brief([found]) == [("WITHOUT BPDA", "masked plainly", "without bpda")]
    assert found.sentence == "WITHOUT BPDA is weaker than with it: 90.0 against 50.0 % of the same 20 clips."
    assert list(checks.of_detours([part(WHITE_BOX, "0" * 20, "apgd"), naive], {})) == []
    assert list(checks.of_detours([part(WHITE_BOX, share(11, 20), "pgd_4"), naive], {})) == []


def test_more_steps_that_are_weaker_and_few_steps_that_are_weak():
    curve = [part(WHITE_BOX, share(count, 20), f"pgd_{i}", i) for i, count in enumerate((12, 8, 16, 3))]
    more, few = checks.of_steps([*curve[::-1], part(WHITE_BOX, "0" * 20, "apgd", 9)], {})
    assert brief([more, few]) == [
        ("more steps are weaker", "masked", "pgd_2"),
        ("few steps are weak", "note", "worst_case"),
    ]
    assert more.sentence == "More steps leave more clips correct: 80.0 against 40.0 % of the same 20 clips."
    assert few.sentence == (
        "PGD_0 leaves more than the worst case: 60.0 against 0.0 % of the same 20 clips. Report the worst case."
    )
    assert list(checks.of_steps([part(CLEAN, "1" * 20), part(CASCADE, "0" * 20)], {})) == []


def test_the_gravest_finding_decides_and_comes_first():
    curve = [part(WHITE_BOX, share(count, 20), f"pgd_{i}", i) for i, count in enumerate((12, 4))]
    parts = [part(CLEAN, "1" * 20, "clean"), *curve]
    facts = {"majority": 5.0}
    verdict, found = checks.judged(parts, facts)
    assert (verdict, brief(found)) == ("no sign of masking", [("few steps are weak", "note", "worst_case")])
    verdict, found = checks.judged([*parts, part(NAIVE, "1" * 20, "eot")], facts)
    assert verdict == "gradients are masked but for BPDA or EOT"
    assert [one.severity for one in found] == ["masked plainly", "note"]
    verdict, found = checks.judged([*parts, part(NAIVE, "1" * 20, "eot")], facts | {"zero_gradients": 1.0})
    assert verdict == "gradients are masked"
    verdict, found = checks.judged(parts, facts | {"zero_gradients": 1.0, "probabilities": True})
    assert verdict == "the evaluation is faulty"
    assert [one.severity for one in found] == ["faulty", "masked", "note"]
    assert checks.judged([*parts[:1], *curve[1:]], facts) == ("no sign of masking", ())
    assert checks.judged(parts[:1], facts)[0] == "not decided within the budget"


GIVEN_FAULTS = [
    ({"excess": 0.001}, "", ""),
    ({"excess": 0.5}, "outside the box", "The given attack returns clips 0.5 outside [0, 1]: they are no clips."),
    ({"ratio": float("inf")}, "wrong mask", "The given attack changes pixels outside the region of the threat."),
    ({"ratio": 1.001}, "", ""),
    ({"ratio": 2.0}, "bound in wrong units", "The given attack changes clips by 2 times the bound: it has another "),
    ({"ratio": 0.1}, "", ""),
    ({"ratio": 0.05}, "bound in wrong units", "The given attack uses at most 5 % of the bound: a bound in other "),
    ({"ratio": 0.0}, "", ""),
    ({"unchanged": 0.01}, "", ""),
    ({"unchanged": 0.5}, "zero steps", "The given attack leaves 50 % of the correct clips unchanged: it makes no "),
    ({"train_mode": True}, "train mode", "The given attack runs the network in train mode."),
    ({"half": True}, "float16", "The given attack computes in float16, where the gradients of a mean loss round to z"),
    ({"low": -0.001, "high": 1.001}, "", ""),
    ({"low": -0.5}, "normalized outside", "The given attack shows the network inputs from -0.5 to 1 and the evaluati"),
    ({"high": 1.5}, "normalized outside", "The given attack shows the network inputs from 0 to 1.5 and the evaluatio"),
    ({"zero_gradients": 0.01}, "", ""),
    ({"zero_gradients": 0.5}, "zero gradients", "50 % of the given attack's gradients are exactly zero (they are cut"),
]


@pytest.mark.parametrize(("facts", "name", "words"), GIVEN_FAULTS)
def test_faults_of_a_given_attack(facts, name, words):
    found = list(check_given.of_given_attack([part(CLEAN, "1" * 20), given(**facts)], {}))
    assert brief(found) == ([(name, "faulty", "given")] if name else [])
    assert all(one.sentence.startswith(words) for one in found)


@pytest.mark.parametrize(
    ("gradients", "name", "why"),
    [(1, "weak attack", "it is too weak"), (0, "another model attacked", "it took no gradient of this model")],
)
def test_a_given_attack_that_leaves_more_than_the_worst_case(gradients, name, why):
    """By more than 5 points, of clips enough: 8 of 160 are 5 points, and 7 of 20 may be chance."""
    clean, cascade = part(CLEAN, "1" * 160), part(CASCADE, share(80, 160))
    found = list(check_given.of_given_attack([clean, cascade, given(share(89, 160), gradients=gradients)], {}))
    numbers = "55.6 against 50.0 % of the same 160 clips"
    assert found == [
        Finding(
            name=name,
            severity="faulty",
            sentence=f"The given attack leaves more than the worst case, {why}: {numbers}.",
            decided_by="given",
        )
    ]
    assert list(check_given.of_given_attack([clean, cascade, given(share(88, 160))], {})) == []
    assert list(check_given.of_given_attack([part(CASCADE, share(5, 20)), given(share(12, 20))], {})) == []


def test_the_worst_case_is_on_the_clips_of_its_main_measurement():
    """Of cascade, white box, search, noise and clean the first that was made, there the one on most clips."""
    clean, noise = part(CLEAN, "1" * 8), part(NOISE, "0" + "1" * 6)
    search, white = part(GRADIENT_FREE, "1" * 5 + "0"), part(WHITE_BOX, "10111")
    few, many = part(CASCADE, "111"), part(CASCADE, "1111", order=1)
    made, found = [], []
    for one in (clean, noise, search, white, few, many):
        made.append(one)
        found.append("".join("01"[mark] for mark in worst_case(made).correct))
    assert found == ["1" * 8, "0111111", "011110", "00111", "001", "0011"]
    worst = worst_case(made)
    assert (worst.name, worst.kind, worst.title) == ("worst_case", CASCADE, "worst case of all of these")
    assert worst.rows == many.rows
    assert worst_case([clean, part(GROWING, "0" * 8)]).correct == clean.correct


def test_a_given_attack_counts_for_the_worst_case_if_it_is_inside_the_bound():
    clean = part(CLEAN, "1" * 4)
    inside = [{}, {"ratio": 1.001}, {"excess": 0.001}]
    outside = [{"ratio": 1.01}, {"excess": 0.01}, {"ratio": 1.01, "excess": 0.01}]
    assert all(is_inside(given(**facts)) for facts in inside)
    assert not any(is_inside(given(**facts)) for facts in outside)
    assert worst_case([clean, given("0011")]).percent == 50
    assert worst_case([clean, given("0011", ratio=1.5)]).percent == 100


def test_two_measurements_are_compared_on_the_clips_that_both_have():
    """McNemar's exact test, one-sided: scipy's binomial test of the clips that differ."""
    one, other = part(WHITE_BOX, "0000011"), part(NOISE, "111101001", first=1)  # clips 1 to 6 are common
    assert error_probability(one, other) == pytest.approx(binomtest(4, 5, alternative="greater").pvalue)
    assert error_probability(other, one) == pytest.approx(binomtest(1, 5, alternative="greater").pvalue)
    assert error_probability(one, one) == 1
    assert paired(one, other) == "33.3 against 83.3 % of the same 6 clips"
    assert gap(other, one) == pytest.approx(50)
    assert check_comparisons.below(part(NOISE, "0" * 8), part(NOISE, "1" * 8))
    assert not check_comparisons.below(part(NOISE, "0" * 7), part(NOISE, "1" * 7))
