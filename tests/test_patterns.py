"""Regular expressions for names: exactly these names, none besides."""

import itertools
import re

import pytest

from pipeline_lib.configuration.patterns import NAME, NAME_BEFORE_ANOTHER, pattern_of

TARGETS = [
    f"{model}-s{seed}{view}" for model in ("at", "at_af", "b") for seed in (0, 1, 10) for view in ("", "-lp", "-l")
]


@pytest.mark.parametrize("names", [TARGETS, ["a"], ["a", "ab", "abc"], ["ab", "b"], ["a.c", "a+"]])
def test_the_names_match_and_no_others(names):
    pattern = re.compile(f"(?P<wildcard>{pattern_of(names)})/")
    near = {name[:end] + more for name in names for end in range(len(name) + 1) for more in ("", "0", "b", "-lp", "_")}
    assert {name for name in near | {*names} if pattern.fullmatch(f"{name}/")} == {*names}


def test_all_words_of_a_small_alphabet():
    words = ["".join(letters) for size in range(1, 4) for letters in itertools.product("ab", repeat=size)]
    for names in itertools.combinations(words, 3):
        pattern = re.compile(pattern_of(names))
        assert [word for word in words if pattern.fullmatch(word)] == [word for word in words if word in names]


def test_the_seeds_of_a_model_are_written_beside_one_another():
    assert pattern_of(f"avg-s{seed}" for seed in range(3)) == r"avg\-s(?:0|1|2)"


def test_no_names():
    assert pattern_of([]) == ""


def test_a_name_before_another_is_not_before_itself():
    """Behind the data set, as in the workflow's paths. Alone it matches any name."""
    names = f"(?P<dataset>synthetic)/predictions/(?P<target>{NAME_BEFORE_ANOTHER})/(?P<source>{NAME})/pgd.csv"
    pattern = re.compile(names)
    pairs = {(a, b) for a in TARGETS for b in TARGETS if pattern.fullmatch(f"synthetic/predictions/{a}/{b}/pgd.csv")}
    assert pairs == {(a, b) for a in TARGETS for b in TARGETS if a != b}
    assert set(pattern.fullmatch("synthetic/predictions/a/b/pgd.csv").groupdict()) == {"dataset", "target", "source"}
    assert all(re.fullmatch(NAME_BEFORE_ANOTHER, name) for name in TARGETS)
