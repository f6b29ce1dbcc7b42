"""Seeds in words, as in captions: results have them as text, separated by spaces."""


def seeds_in_words(*groups: str) -> str:
    """`seed 0`, `seeds 0, 1, 2`, or `no seed`; several groups, as of rows with different seeds, one after the other."""
    words = [f"seed{'s' * (' ' in seeds)} {seeds.replace(' ', ', ')}" for seeds in groups if seeds]
    return "; ".join(words) or "no seed"
