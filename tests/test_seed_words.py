"""Seeds in words."""

import pytest

from pipeline_lib.records.seed_words import seeds_in_words


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (["0"], "seed 0"),
        (["0 1 12"], "seeds 0, 1, 12"),
        (["0", "0 1"], "seed 0; seeds 0, 1"),
        (["", "3"], "seed 3"),
        ([""], "no seed"),
        ([], "no seed"),
    ],
)
def test_seeds_in_words(groups, words):
    assert seeds_in_words(*groups) == words
