"""Every purpose draws random numbers of its own: none sees those of another one."""

from collections import defaultdict

import pytest

import tiny
from pipeline_lib.clips.store import Clips
from pipeline_lib.randomness import generators
from pipeline_lib.randomness.draws import drawing, drawing_rows, present_generators
from sets import attacked, predicted
from training_runs import trained

NOISE = {"method": "pipeline_lib.transforms.noise:NoiseInjection", "sigma": 0.2}
NOISY = {"method": "pipeline_lib.defenses.transformed:Transformed", "transform": NOISE, "defense": tiny.AT_PGD}


@pytest.fixture
def drawn(monkeypatch) -> dict[str, set]:
    """(seed, name) of all generators that each purpose makes."""
    found: dict[str, set] = defaultdict(set)
    found["purpose"] = {"nothing"}
    seed_of = generators.clip_seed

    def noted(seed: int, key: str) -> int:
        (purpose,) = found["purpose"]
        found[purpose].add((seed, key))
        return seed_of(seed, key)

    monkeypatch.setattr(generators, "clip_seed", noted)
    return found


def test_training_attacks_and_predictions_draw_from_different_generators(tmp_path, drawn):
    """Of one seed and the same clips: otherwise a model's noise is that which an attack has already seen."""
    clips = tiny.write_clips(tmp_path / "clips.h5")
    drawn["purpose"] = {"training"}
    trained(tmp_path, tiny.model_entry(NOISY), clips, "plain")
    drawn["purpose"] = {"prediction"}
    predicted(tmp_path, tmp_path, None)
    drawn["purpose"] = {"attack"}
    attacked(tmp_path, tmp_path)
    used = {purpose: drawn[purpose] for purpose in ("training", "prediction", "attack")}
    assert len(used["prediction"]) == 10  # one for each clip
    assert not used["training"] & (used["prediction"] | used["attack"])
    # A white-box set is predicted on the way, with the same numbers as by anybody else.
    assert used["prediction"] < used["attack"]
    # Its own draws, its goal's, the model's noise in its gradients, and predictions: no two of them share any.
    assert len(used["attack"]) == 4 * 10


def test_sets_and_predictions_can_be_made_again_from_a_seed_and_the_names_of_clips(made, tmp_path, drawn):
    """Predictions have one seed, whatever that of the run."""
    drawn["purpose"] = {"attack"}
    attacked(made, tmp_path, seed=5)
    videos = Clips(made / "clips.h5").videos
    own = {(5, video + purpose) for video in videos for purpose in ("", "/goal", "/transform")}
    assert drawn["attack"] == own | {(0, f"{video}/prediction") for video in videos}


def test_clips_draw_from_the_generators_of_the_innermost_context_in_order():
    first, second = (generators.clip_generators(seed, ["a", "b"]) for seed in (0, 1))
    with drawing(first):
        assert present_generators(4) == [*first, *first]  # two versions of the clips in one batch
        with drawing(second):
            assert present_generators(2) == second
        assert present_generators(2) == first
        for clips in (1, 3):
            with pytest.raises(RuntimeError, match=f"{clips} clips for 2 generators"):
                present_generators(clips)
    with drawing([]), pytest.raises(RuntimeError, match="2 clips for 0 generators"):
        present_generators(2)
    with pytest.raises(RuntimeError, match="inside drawing"):
        present_generators(2)


def test_some_rows_draw_from_their_own_generators():
    each = generators.clip_generators(0, ["a", "b", "c"])
    with drawing(each), drawing_rows([2, 0]):
        assert present_generators(2) == [each[2], each[0]]
    with drawing_rows([0]), pytest.raises(RuntimeError, match="has no generators"):
        present_generators(1)
