"""The overlay of the draft's generation: what it changes, and that the rest of a configuration stays."""

from pathlib import Path

import pytest

from configured import resolved, stacked
from pipeline_lib.entries.building import build

CONFIG = Path(__file__).parents[1] / "config"


@pytest.fixture(scope="module")
def configuration() -> dict:
    return stacked("attacks_g1")


def test_the_attacks_are_the_drafts(configuration):
    """Draft of MultiBN, section 4 and its code: eps 4/255 and alpha 1.0, 30 x 30, width 5, 100 pixels, T = 5."""
    attacks = {name: build(entry) for name, entry in resolved(configuration)["attacks"].items()}
    names = ("pgd", "roa", "af", "spa")
    assert [attacks[name].perturbation.step_size for name in names] == [1.0] * 4
    assert [attacks[name].perturbation.epsilon for name in names] == [4 / 255, 1.0, 1.0, 1.0]
    assert [attacks[name].steps for name in names] == [5] * 4
    assert (attacks["roa"].region.height, attacks["roa"].region.width) == (30, 30)
    assert attacks["roa"].start.value == 0.5
    assert attacks["af"].region.width == 5
    assert attacks["af"].unmasked_first_gradient
    assert attacks["spa"].region.count == 100
    assert attacks["spa"].region.replace
    assert attacks["spa"].start.value == 0.0
    for name in ("roa", "spa"):
        assert attacks[f"{name}_first_sample"].region.region == attacks[name].region


@pytest.mark.parametrize(
    ("strength", "epsilon", "side", "width", "count"), [("strong", 8, 45, 10, 200), ("stronger", 16, 60, 20, 400)]
)
def test_the_stronger_attacks_are_the_drafts(configuration, strength, epsilon, side, width, count):
    """Appendix A of the draft."""
    entries = resolved(configuration)["attacks"]
    pgd, roa, af, spa = (build(entries[f"{name}_{strength}"]) for name in ("pgd", "roa", "af", "spa"))
    assert pgd.perturbation.epsilon == pgd.start.radius == epsilon / 255
    assert (roa.region.height, roa.region.width) == (side, side)
    assert af.region.width == width
    assert spa.region.count == count
    assert all(attack.steps == 5 and attack.perturbation.step_size == 1.0 for attack in (pgd, roa, af, spa))


def test_its_results_are_kept_apart_and_named(configuration):
    assert configuration["results"] == "results_g1"
    assert "G1" in (CONFIG / "attacks_g1.yaml").read_text().splitlines()[0]
