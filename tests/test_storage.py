"""Sets that keep float32: every bit of the attacked clips, and all that reads sets reads them."""

import json
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import tiny
from pipeline_lib.clips.adversarial_store import AdversarialClips, compressed_delta, eight_bit, write_adversarial
from pipeline_lib.clips.loader import as_clips, as_float_frames, as_frames
from pipeline_lib.clips.seal import block_size, seal
from pipeline_lib.clips.store import Clips
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.adversarial import build_attack
from pipeline_lib.evaluation.features import measure_features
from pipeline_lib.evaluation.source import Settings, Source
from pipeline_lib.evaluation.storage import KEEP
from pipeline_lib.reporting.figures.perturbations import attack_examples
from sets import CPU, attacked, predicted_again, rows_of
from stores import flip, offset_of

FLOAT = {"storage": "float32"}
PERTURBATIONS = "pipeline_lib.attacks.perturbations"
LP_PERTURBATIONS = "pipeline_lib.attacks.lp_perturbations"
ASCENT = {"method": "pipeline_lib.attacks.ascent:Ascent", "steps": 2}
ATTACKS = {
    "additive l-inf": tiny.PGD,
    "rectangle": tiny.ROA,
    "ratio l-inf": ASCENT
    | {"perturbation": {"method": f"{PERTURBATIONS}:RatioLinf", "epsilon": 1.04, "step_size": 1.03}},
    "additive l2": ASCENT
    | {"perturbation": {"method": f"{LP_PERTURBATIONS}:AdditiveL2", "epsilon": 0.3, "step_size": 0.2}},
    "ratio l2": ASCENT | {"perturbation": {"method": f"{LP_PERTURBATIONS}:RatioL2", "epsilon": 0.8, "step_size": 3.55}},
}
FRAMED = {
    "method": "pipeline_lib.attacks.framing:FixedPattern",
    "region": {"method": "pipeline_lib.attacks.regions:Border", "width": 3},
    "start": {"method": "pipeline_lib.attacks.starts:UniformNoise", "radius": 1.0},
    "margin": 3,
}


def set_of(made: Path, out: Path) -> AdversarialClips:
    return AdversarialClips(out / "set.h5", Clips(made / "clips.h5"))


def write_frames(made: Path, output: Path, frames: np.ndarray) -> AdversarialClips:
    """A set of frames (10, T, H, W, C) float32."""
    clean = Clips(made / "clips.h5")
    chunks = [compressed_delta(new, old) for new, old in zip(frames, clean.read(range(10)), strict=True)]
    crc32 = np.array([zlib.crc32(frame.tobytes()) for frame in frames])
    write_adversarial(output, clean, chunks, crc32, {}, storage="float32")
    return AdversarialClips(output, clean)


def test_every_bit_of_every_value_comes_back(made, tmp_path):
    """Also where clean + (adversarial - clean), computed in float32, is another number: most of them."""
    random = np.random.default_rng(0)
    frames = random.random((10, *tiny.SHAPE), np.float32)
    frames[:2] *= np.float32(1e-3)
    frames[2].flat[:6] = [0.0, -0.0, 1.0, np.float32(1e-45), np.nextafter(np.float32(1), np.float32(0)), 1.5]
    clean = Clips(made / "clips.h5").read(range(10)).astype(np.float32) / np.float32(255)
    assert (clean + (frames - clean) != frames).mean() > 0.1
    kept = write_frames(made, tmp_path / "set.h5", frames)
    assert kept.read([7, 2, 0]).tobytes() == frames[[7, 2, 0]].tobytes()
    into = np.empty((10, *tiny.SHAPE), np.float32)
    assert kept.read(range(10), into) is into
    assert into.tobytes() == frames.tobytes()


def test_values_travel_to_a_network_and_back_unchanged():
    frames = np.random.default_rng(0).random((2, *tiny.SHAPE), np.float32)
    assert as_float_frames(as_clips(frames, CPU)).tobytes() == frames.tobytes()
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1)
    assert (eight_bit(as_float_frames(as_clips(levels, CPU))) == levels).all()


@pytest.mark.parametrize("entry", ATTACKS.values(), ids=ATTACKS)
def test_the_lattice_set_is_the_float_set_rounded_inside_the_bound(made, tmp_path, entry):
    """The same attack with both storages is the same clips; float32 keeps them, on the bound where they end there."""
    exact, rounded = (attacked(made, tmp_path / str(len(more)), entry | more) for more in (FLOAT, {}))
    clean = as_clips(Clips(made / "clips.h5").read(range(10)), CPU)
    live = as_clips(set_of(made, exact).read(range(10)), CPU)
    attack, _ = build_attack(entry)
    assert (as_frames(attack.quantize(live, clean)) == set_of(made, rounded).read(range(10))).all()
    (of_exact,), (of_rounded,) = (rows_of(out / "audit.csv") for out in (exact, rounded))
    assert of_exact["bound_ratio"] == of_exact["live_bound_ratio"] == of_rounded["live_bound_ratio"]
    assert of_exact["stored_accuracy"] == of_exact["live_accuracy"] == of_rounded["live_accuracy"]


def test_stored_ratios_keep_the_bounds_of_multav(made, tmp_path):
    """Recomputed in float64 of what is on disk: Eq. 3's ratio of each pixel, and the length of x_adv / x - 1."""
    clean = Clips(made / "clips.h5").read(range(10)).astype(np.float64) / 255
    found = {}
    for name in ("ratio l-inf", "ratio l2"):
        frames = set_of(made, attacked(made, tmp_path / name[-2:], ATTACKS[name] | FLOAT)).read(range(10))
        found[name] = frames.astype(np.float64) / clean
    ratios = np.maximum(found["ratio l-inf"], 1 / found["ratio l-inf"])
    lengths = np.sqrt(((found["ratio l2"] - 1) ** 2).sum((1, 2, 3, 4)))
    assert 1.0399 < ratios.max() <= 1.04 * (1 + 1e-6)
    assert 0.799 < lengths.max() <= 0.8 * (1 + 1e-6)


def test_everything_that_reads_a_set_reads_floats(made, tmp_path):
    """Predictions of any other job, features, and pictures, which are the nearest 8-bit ones."""
    out = attacked(made, tmp_path, ATTACKS["additive l2"] | FLOAT)
    assert predicted_again(made, out) == (out / "predictions.csv").read_text()
    measure_features(
        Source(weights=made / "plain.pt"),
        clips=made / "clips.h5",
        adversarial=out / "set.h5",
        output=out / "features.csv",
        settings=Settings(batch_size=4, device=CPU),
    )
    assert all(float(row["mean_square_difference"]) > 0 for row in rows_of(out / "features.csv"))
    ((_, clean, shown),) = attack_examples(made / "clips.h5", ["l2"], [out / "set.h5"], [out / "predictions.csv"])
    assert clean.dtype == shown.dtype == np.uint8
    values = set_of(made, out).read(range(10))
    assert np.abs(shown / 255.0 - values).reshape(10, -1).max(1).min() <= 0.5 / 255 + 1e-6


def test_a_file_says_what_it_keeps_and_from_which_entry(made, tmp_path):
    exact, rounded = (attacked(made, tmp_path / str(len(more)), tiny.PGD | more) for more in (FLOAT, {}))
    assert [set_of(made, out).storage for out in (exact, rounded)] == ["float32", "lattice"]
    with h5py.File(exact / "set.h5") as kept, h5py.File(rounded / "set.h5") as plain:
        assert kept.attrs["storage"] == json.loads(kept.attrs["entry"])["attack"]["storage"] == "float32"
        assert "storage" not in plain.attrs
        assert plain["delta"].dtype == np.uint8
        assert kept["delta"].shape == plain["delta"].shape


def test_pixels_that_no_attack_touched_cost_hardly_anything(made):
    clean = Clips(made / "clips.h5").read([0])[0]
    same = clean.astype(np.float32) / np.float32(255)
    assert len(compressed_delta(same, clean)) < clean.size / 20


def test_larger_frames_are_kept_too(made, tmp_path):
    exact, rounded = (attacked(made, tmp_path / str(len(more)), FRAMED | more) for more in (FLOAT, {}))
    frames = set_of(made, exact).read(range(10))
    assert frames.shape == (10, 4, 14, 14, 3)
    assert (eight_bit(frames) == set_of(made, rounded).read(range(10))).all()
    assert predicted_again(made, exact) == (exact / "predictions.csv").read_text()


def test_damaged_values_are_seen(made, tmp_path):
    """One bit in a chunk, a chunk that is no zlib stream, and a storage that this code does not know."""
    out = attacked(made, tmp_path, tiny.PGD | FLOAT)
    video = Clips(made / "clips.h5").videos[3]
    flip(out / "set.h5", offset_of(out / "set.h5", "delta", 3) + 50)
    flip(out / "set.h5", offset_of(out / "set.h5", "delta", 5))
    kept = set_of(made, out)
    with pytest.raises(PipelineError, match=rf"set\.h5: clip {video} is damaged. Delete the file"):
        kept.read([2, 3])
    with pytest.raises(PipelineError, match=rf"{kept.videos[5]} is damaged"):
        kept.read([5])
    assert kept.read([2]).dtype == np.float32
    with h5py.File(out / "set.h5", "r+") as file:
        file.attrs["storage"] = "float16"
    seal(out / "set.h5", [], block_size(10))
    with pytest.raises(PipelineError, match="of another version"):
        set_of(made, out)


@pytest.mark.parametrize("storage", KEEP)
def test_clips_that_are_not_finite_are_refused(storage):
    live = torch.full((1, 3, 1, 2, 2), torch.nan)
    with pytest.raises(PipelineError, match="not finite"):
        KEEP[storage](build(tiny.PGD), live, torch.full_like(live, 0.5))
