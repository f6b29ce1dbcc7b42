"""Framings: where they show, that a learned one is the same everywhere, and that learning beats the baselines."""

from pathlib import Path

import pytest
import torch
from torch import nn

import tiny
from configured import resolved, stacked
from limits import file_size_limit
from pipeline_lib.attacks.framing import Adam, FixedPattern, UniversalFraming
from pipeline_lib.attacks.losses import cross_entropy
from pipeline_lib.attacks.regions import Border, RandomRectangle
from pipeline_lib.attacks.starts import Constant, UniformBox, UniformNoise
from pipeline_lib.clips.adversarial_store import enlarged
from pipeline_lib.clips.loader import as_clips
from pipeline_lib.clips.store import Clips
from pipeline_lib.defenses.transformed import PreHook
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.learning import (
    LearnedPattern,
    finite_gradient,
    learn,
    learn_attack,
    load_pattern,
    load_zero_elements,
)
from pipeline_lib.evaluation.source import Run, Source
from pipeline_lib.models import checkpoint
from pipeline_lib.reporting.audits import read_audit, verdict
from pipeline_lib.reporting.figures.perturbations import attack_examples
from pipeline_lib.transforms.noise import NoiseInjection
from sets import attacked, frames_of, predicted_again, rows_of
from stores import flip
from test_audit import Brightness
from training_runs import trained

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
CLIPS = torch.rand(3, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
GENERATORS = [torch.Generator().manual_seed(i) for i in range(3)]
UNIVERSAL = UniversalFraming(width=2, learning=Adam(epochs=4, batch_size=8, learning_rate=0.3))
ENTRY = {
    "method": "pipeline_lib.attacks.framing:UniversalFraming",
    "width": 2,
    "learning": {"method": "pipeline_lib.attacks.framing:Adam", "epochs": 3, "batch_size": 4, "learning_rate": 0.3},
}
BLACK = FixedPattern(region=Border(width=2), start=Constant(value=0))
RANDOM = FixedPattern(region=Border(width=2), start=UniformBox(radius=1000))


def learned(entry: dict, clips: Path, weights: Path, folder: Path) -> Path:
    """What a universal attack learns on a model."""
    learn_attack(
        entry,
        source=Source(weights=weights),
        clips=clips,
        run=Run(folder=folder / "runs", code="code"),
        seed=0,
        output=folder / "learned.pt",
        device=CPU,
    )
    return folder / "learned.pt"


def no_loss(clips):
    raise AssertionError("a framing asks nothing of the network")


def inside(clips: torch.Tensor) -> torch.Tensor:
    return clips[..., 2:-2, 2:-2]


@pytest.mark.parametrize("clips", [CLIPS, CLIPS[:, :, 0]], ids=["videos", "images"])
def test_a_learned_framing_is_the_same_on_all_frames_of_all_clips(clips):
    pattern = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1))
    attack = UNIVERSAL.learned(pattern)
    shown = attack(no_loss, clips, GENERATORS)
    assert torch.equal(inside(shown), inside(clips))
    border = Border(width=2).mask(clips, [])
    frames = shown.movedim(1, -3).reshape(-1, 3, 8, 8)
    assert torch.equal(frames[:, :, border], pattern.sigmoid()[:, border].expand(len(frames), -1, -1))
    stored = attack.quantize(shown, clips)
    assert torch.equal((stored * 255).round() / 255, stored)
    assert (stored - shown).abs().max() <= 0.5 / 255 + 1e-6
    assert (attack.ratio_to_bound(stored, clips) <= 1).all()


def test_the_baselines_fill_the_border_with_black_or_uniform_noise():
    border = Border(width=2).mask(CLIPS, [])
    black, random = (attack(no_loss, CLIPS, GENERATORS) for attack in (BLACK, RANDOM))
    assert (black[..., border] == 0).all()
    noise = random[..., border]
    assert noise.mean() == pytest.approx(0.5, abs=0.03)
    assert noise.std() == pytest.approx(12**-0.5, abs=0.03)
    for shown in (black, random):
        assert torch.equal(inside(shown), inside(CLIPS))


def test_pixels_outside_of_the_border_break_the_bound():
    changed = CLIPS.clone()
    changed[1, :, 2, 4, 4] = 1 - changed[1, :, 2, 4, 4]
    assert BLACK.ratio_to_bound(changed, CLIPS).isinf().tolist() == [False, True, False]


def test_a_pattern_is_cut_to_the_box():
    noise = FixedPattern(region=Border(width=2), start=UniformNoise(radius=1.0))(no_loss, CLIPS, GENERATORS)
    assert [noise.min(), noise.max()] == [0, 1]


@pytest.mark.parametrize("clips", [CLIPS, CLIPS[:, :, 0]], ids=["videos", "images"])
def test_the_bound_of_a_pattern_in_a_drawn_rectangle_is_its_largest_change(clips):
    black = FixedPattern(region=RandomRectangle(height=3, width=2), start=Constant(value=0))
    shown = black(no_loss, clips, GENERATORS)
    torch.testing.assert_close(black.ratio_to_bound(shown, clips), (clips - shown).flatten(1).amax(1))
    assert black.ratio_to_bound(1 - clips, clips).isinf().all()


@pytest.mark.parametrize("shape", [(3, 8, 10), (3, 4, 8, 10)], ids=["images", "videos"])
def test_the_first_pattern_is_zero_and_of_the_size_of_a_frame(shape):
    assert torch.equal(UNIVERSAL.pattern(shape), torch.zeros(3, 8, 10))


class Sides(nn.Module):
    """Two classes by the mean of the clip, and a bias of the border towards the first class."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        logits = Brightness(20.0)(clips)
        return logits + torch.stack([clips[..., :1, :].mean((1, 2, 3, 4)), 0 * logits[:, 0]], 1) * 20


def mean_loss(attack: FixedPattern, data: Clips, model: nn.Module) -> float:
    clips, labels = as_clips(data.read(range(len(data))), CPU), torch.from_numpy(data.labels)
    generators = [torch.Generator().manual_seed(i) for i in range(len(data))]
    return cross_entropy(model, labels)(attack(no_loss, clips, generators)).mean().item()


def test_a_learned_framing_raises_the_loss_above_the_baselines(made, tmp_path):
    data = Clips(made / "clips.h5")
    learn(UNIVERSAL, Sides(), data, 0, tmp_path / "state.pt", CPU)
    learned = UNIVERSAL.learned(load_pattern(tmp_path / "state.pt", CPU))
    grey = UNIVERSAL.learned(torch.zeros(3, 8, 8))
    reached = mean_loss(learned, data, Sides())
    assert reached > max(mean_loss(attack, data, Sides()) for attack in (grey, BLACK, RANDOM))


class Detached(nn.Module):
    """A network that sees a detached copy of some rows."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.network = rows, Sides()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.network(torch.cat([clips[..., : self.rows, :].detach(), clips[..., self.rows :, :]], -2))


@pytest.mark.parametrize(("rows", "fraction"), [(0, 0), (8, 1), (2, 16 / 48)])
def test_the_first_gradient_of_a_pattern_is_counted_inside_the_border(made, tmp_path, rows, fraction):
    """A border of two pixels on eight rows and columns: 48 pixels, 16 of them in the first two rows."""
    how = Adam(epochs=2, batch_size=10)
    learn(UniversalFraming(width=2, learning=how), Detached(rows), Clips(made / "clips.h5"), 0, tmp_path / "s.pt", CPU)
    assert load_zero_elements(tmp_path / "s.pt") == pytest.approx(fraction)


def test_zeros_are_those_of_the_first_gradient_and_the_last_pattern_is_saved_once(made, tmp_path, monkeypatch):
    """Of a model whose first gradient alone is cut: four batches, in less than the interval of savings."""
    calls, saved, save = [], [], LearnedPattern.save

    class CutAtFirst(Sides):
        def forward(self, clips):
            calls.append(len(clips))
            return super().forward(clips.detach() if len(calls) == 1 else clips)

    monkeypatch.setattr(LearnedPattern, "save", lambda now, state: (saved.append(now.done), save(now, state)))
    how = Adam(epochs=2, batch_size=5)
    learn(UniversalFraming(width=2, learning=how), CutAtFirst(), Clips(made / "clips.h5"), 0, tmp_path / "s.pt", CPU)
    assert load_zero_elements(tmp_path / "s.pt") == 1
    assert (calls, saved) == ([5] * 4, [4])
    monkeypatch.setattr("pipeline_lib.evaluation.learning.SAVE_EVERY_SECONDS", -1.0)
    learn(UniversalFraming(width=2, learning=how), Sides(), Clips(made / "clips.h5"), 0, tmp_path / "t.pt", CPU)
    assert saved == [4, 1, 2, 3, 4]
    assert load_zero_elements(tmp_path / "t.pt") == 0


BARE = {
    "method": "pipeline_lib.defenses.transformed:Transformed",
    "transform": {"method": "pipeline_lib.transforms.levels:BitDepth", "bits": 2},
    "defense": tiny.STANDARD,
    "backward": "none",
}


def test_a_damaged_pattern_is_named_and_learned_again_after_one_deletion(made, tmp_path, caplog):
    pattern = learned(ENTRY, made / "clips.h5", made / "plain.pt", tmp_path)
    whole = pattern.read_bytes()
    flip(pattern, whole.index(b"data.pkl") + 200)
    with pytest.raises(PipelineError, match=rf"^{pattern}: .* is damaged. Delete it, and run again"):
        load_pattern(pattern, CPU)
    pattern.unlink()
    assert learned(ENTRY, made / "clips.h5", made / "plain.pt", tmp_path).read_bytes() == whole
    assert "it is learned again" in caplog.text


def test_a_pattern_of_nan_is_refused(tmp_path):
    checkpoint.write(tmp_path / "p.pt", {"pattern": torch.tensor([0.0, torch.nan]), "zero_elements": 0.0})
    with pytest.raises(PipelineError, match=r"p\.pt: pattern contains values that are not finite"):
        load_pattern(tmp_path / "p.pt", CPU)


@pytest.mark.parametrize("content", [{"pattern": torch.zeros(2)}, torch.zeros(2)])
def test_a_file_of_something_else_is_no_pattern(tmp_path, content):
    checkpoint.write(tmp_path / "p.pt", content)
    with pytest.raises(PipelineError, match=r"p\.pt: "):
        load_pattern(tmp_path / "p.pt", CPU)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_ends_learning_with_the_number_of_the_batch(value):
    pattern = torch.zeros(2)
    pattern.grad = torch.tensor([0.0, value])
    with pytest.raises(PipelineError, match="^learning, batch 3: the gradient is not finite"):
        finite_gradient(pattern, 2)
    pattern.grad = torch.ones(2)
    assert finite_gradient(pattern, 2) is pattern.grad


def test_a_framing_learned_through_a_cut_gradient_is_masked(made, tmp_path):
    trained(tmp_path, tiny.model_entry(BARE), made / "clips.h5", "plain")
    (tmp_path / "clips.h5").symlink_to(made / "clips.h5")
    pattern = learned(ENTRY, made / "clips.h5", tmp_path / "plain.pt", tmp_path)
    attacked(tmp_path, tmp_path, ENTRY, learned=pattern)
    row = read_audit(tmp_path / "audit.csv")
    assert row["zero_gradients"] == row["zero_elements"] == 1
    # The network is not trained, and answers the same for all clips.
    assert verdict(row | {"classes": 0}) == "masked gradient"


def test_stopped_learning_goes_on_to_the_same_pattern(made, tmp_path):
    data = Clips(made / "clips.h5")
    learn(UNIVERSAL, Sides(), data, 0, tmp_path / "whole.pt", CPU)
    with pytest.raises(SystemExit):
        learn(UNIVERSAL, Sides(), data, 0, tmp_path / "stopped.pt", CPU, stop=lambda: True)
    assert torch.load(tmp_path / "stopped.pt")["steps"] == 1
    learn(UNIVERSAL, Sides(), data, 0, tmp_path / "stopped.pt", CPU)
    whole, stopped = (load_pattern(tmp_path / f"{name}.pt", CPU) for name in ("whole", "stopped"))
    assert torch.equal(whole, stopped)


def test_a_pattern_that_was_kept_is_stated_in_the_log(made, tmp_path, caplog):
    caplog.set_level("INFO", logger="pipeline_lib")
    for times in range(2):
        learn(UNIVERSAL, Sides(), Clips(made / "clips.h5"), 0, tmp_path / "state.pt", CPU)
        assert caplog.text.count("nothing is learned: ") == times
    assert "snakemake --forcerun learn learns again" in caplog.text


@pytest.mark.parametrize("limit", [0, 3000])
def test_no_space_for_what_was_learned_names_the_file(made, tmp_path, limit):
    data, state = Clips(made / "clips.h5"), tmp_path / "state.pt"
    with pytest.raises(PipelineError, match=f"{state}: no space left"), file_size_limit(limit):
        learn(UNIVERSAL, Sides(), data, 0, state, CPU)
    assert list(tmp_path.iterdir()) == []


def test_a_stochastic_transform_draws_for_each_video_and_step(made, tmp_path):
    """Learning is the same again; the noise of the next step is another one, and each clip has its own."""
    data, seen = Clips(made / "clips.h5"), []

    class Noisy(Sides):
        def forward(self, clips):
            (noise,) = PreHook(NoiseInjection(sigma=0.1), "bpda")(self, (clips,))
            seen.append((noise - clips).detach())
            return super().forward(noise)

    how = Adam(epochs=2, batch_size=10, learning_rate=0.3)
    for name in ("once", "again"):
        learn(UniversalFraming(width=2, learning=how), Noisy(), data, 0, tmp_path / f"{name}.pt", CPU)
    once, again = (load_pattern(tmp_path / f"{name}.pt", CPU) for name in ("once", "again"))
    assert torch.equal(once, again)
    assert [torch.equal(seen[0], noise) for noise in seen] == [True, False, True, False]
    assert not torch.equal(seen[0][0], seen[0][1])


def test_a_framing_is_learned_on_a_model_behind_noise(made, tmp_path):
    noise = {"method": "pipeline_lib.transforms.noise:NoiseInjection", "sigma": 0.1}
    defense = {"method": "pipeline_lib.defenses.transformed:Transformed", "transform": noise, "defense": tiny.STANDARD}
    trained(tmp_path, tiny.model_entry(defense), made / "clips.h5", "noisy")
    pattern = learned(ENTRY, made / "clips.h5", tmp_path / "noisy.pt", tmp_path)
    assert load_pattern(pattern, CPU).abs().max() > 0


def test_the_learning_rate_falls_by_its_factor(made, tmp_path):
    how = Adam(epochs=3, batch_size=10, learning_rate=0.5, decay=0.1, decay_every=2)
    learn(UniversalFraming(width=1, learning=how), Sides(), Clips(made / "clips.h5"), 0, tmp_path / "s.pt", CPU)
    (group,) = torch.load(tmp_path / "s.pt")["optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(0.05)
    with pytest.raises(PipelineError, match="epochs is 0: it must be at least 1"):
        Adam(epochs=0)


@pytest.mark.parametrize("placement", ["over", "outside"])
def test_from_a_model_to_a_set(made, tmp_path, placement):
    entry = ENTRY | {"placement": placement}
    pattern = learned(entry, made / "clips.h5", made / "plain.pt", tmp_path)
    out = attacked(made, tmp_path, entry, learned=pattern)
    frames, clean = frames_of(made, out), Clips(made / "clips.h5").read(range(10))
    if placement == "outside":
        assert frames.shape == (10, 4, 12, 12, 3)
        assert (frames[:, :, 2:-2, 2:-2] == clean).all()
        assert (frames[0, 0, 0] != 0).any()
    else:
        assert frames.shape == clean.shape
        assert (frames[:, :, 2:-2, 2:-2] == clean[:, :, 2:-2, 2:-2]).all()
    assert (frames[:, :, 0] == frames[0, 0, 0]).all()
    (row,) = rows_of(out / "audit.csv")
    assert float(row["bound_ratio"]) <= 1
    assert float(row["zero_gradients"]) == float(row["zero_elements"]) == 0
    assert predicted_again(made, out) == (out / "predictions.csv").read_text()


def test_a_margin_is_around_the_picture_and_clean_clips_have_none(made, tmp_path):
    """Black outside of the picture: the set is the enlarged clips, and its clean accuracy that of the clips."""
    entry = {
        "method": "pipeline_lib.attacks.framing:FixedPattern",
        "region": {"method": "pipeline_lib.attacks.regions:Border", "width": 3},
        "start": {"method": "pipeline_lib.attacks.starts:Constant", "value": 0.0},
    }
    plain, wide = (attacked(made, tmp_path / str(m), entry | {"margin": m}) for m in (0, 3))
    (over,), (around,) = (rows_of(out / "audit.csv") for out in (plain, wide))
    assert over["clean_accuracy"] == around["clean_accuracy"]
    clean = Clips(made / "clips.h5").read(range(10))
    assert (frames_of(made, wide) == enlarged(clean, 3)).all()
    label = [("black", tmp_path / "3/set.h5", tmp_path / "3/predictions.csv")]
    ((_, shown, adversarial),) = attack_examples(made / "clips.h5", *map(list, zip(*label, strict=True)))
    assert shown.shape == adversarial.shape == (4, 14, 14, 3)
    with pytest.raises(PipelineError, match="margin is -1"):
        FixedPattern(region=Border(width=1), start=Constant(value=0), margin=-1)


@pytest.mark.parametrize(
    ("overlay", "given"), [("multibn_sweeps", {"datasets": {"ucf101": {"root": "data"}}}), ("demo_sweeps", {})]
)
def test_the_overlays_framings_lie_around_the_picture_and_random_is_uniform(overlay, given):
    entries = resolved(stacked(overlay, given=given))["attacks"]
    built = {name: build(entry) for name, entry in entries.items() if "_framing_" in name}
    assert len(built) == 12
    for name, framing in built.items():
        assert framing.margin == int(name[-1]), name
    shown = built["random_framing_2"](None, torch.full((2, 3, 4, 36, 36), 0.3), [torch.Generator() for _ in range(2)])
    border = torch.cat([shown[..., :2].flatten(), shown[..., -2:].flatten()])
    assert border.mean().item() == pytest.approx(0.5, abs=0.02)
    assert border.var().item() == pytest.approx(1 / 12, abs=0.005)
