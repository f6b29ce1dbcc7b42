"""What an ascent may do beyond the papers' loop: restarts, the best iterate, the authors' AF and ROA code."""

import logging
import math

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2, PrintedRatioL2, RatioL2
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf
from pipeline_lib.attacks.regions import Border, FirstSampleOnly, RandomPixels, RandomRectangle
from pipeline_lib.attacks.starts import Constant, LogUniform, UniformBox, UniformNoise
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

LEVELS = torch.randint(-40, 296, (4, 3, 2, 12, 10), generator=torch.Generator().manual_seed(0)).clamp(0, 255)
CLIPS = LEVELS / 255
PGD = AdditiveLinf(epsilon=8 / 255, step_size=5 / 255)
NOISE = UniformNoise(radius=8 / 255)
FREE = AdditiveLinf(epsilon=1.0, step_size=70 / 255)


def generators(n: int = 4) -> list[torch.Generator]:
    return clip_generators(7, [f"video {i}" for i in range(n)])


def wavy(clips: torch.Tensor) -> torch.Tensor:
    """Of many maxima, so that large steps overshoot and other starts end elsewhere; clip by clip."""
    return torch.stack([(90 * clip).sin().sum() for clip in clips])


def counting(calls: list[bool], loss=wavy):
    def counted(clips):
        calls.append(clips.requires_grad)
        return loss(clips)

    return counted


def of_largest_loss(candidates: list[torch.Tensor], loss=wavy) -> torch.Tensor:
    choice = torch.stack([loss(candidate) for candidate in candidates]).argmax(0)
    return torch.stack([candidates[k][i] for i, k in enumerate(choice)])


def several_waves(clips: torch.Tensor) -> torch.Tensor:
    """The first clip's are so long that it climbs to the end, the others' peaks are passed sooner or later."""
    return torch.stack([(speed * clip).sin().sum() for speed, clip in zip((5, 30, 60, 90), clips, strict=True)])


def test_the_best_iterate_is_each_clips_own():
    """Among the start and what each number of steps ends in."""
    noise = [torch.empty(CLIPS.shape[1:]).uniform_(-8 / 255, 8 / 255, generator=g) for g in generators()]
    climbs = [Ascent(perturbation=PGD, start=NOISE, steps=steps) for steps in range(1, 5)]
    seen = [(CLIPS + torch.stack(noise)).clamp(0, 1)]
    seen += [climb(several_waves, CLIPS, generators()) for climb in climbs]
    found = Ascent(perturbation=PGD, start=NOISE, steps=4, keep="best")(several_waves, CLIPS, generators())
    assert torch.equal(found, of_largest_loss(seen, several_waves))
    choices = torch.stack([several_waves(clips) for clips in seen]).argmax(0)
    assert choices[0] == 4
    assert choices.min() < 4


@pytest.mark.parametrize("keep", ["last", "best"])
def test_restarts_go_on_with_the_same_generators(keep):
    going = generators()
    single = Ascent(perturbation=PGD, start=NOISE, steps=3, keep=keep)
    ends = [single(wavy, CLIPS, going) for _ in range(3)]
    found = Ascent(perturbation=PGD, start=NOISE, steps=3, keep=keep, restarts=3)(wavy, CLIPS, generators())
    assert torch.equal(found, of_largest_loss(ends))
    assert not torch.equal(found, ends[0])


def test_restarts_draw_the_region_anew():
    """Six draws of a place for one patch find a better one than the first."""
    roa = {"perturbation": FREE, "region": RandomRectangle(height=3, width=3), "start": Constant(value=0.5), "steps": 2}
    first, best = (Ascent(**roa, restarts=n)(wavy, CLIPS, generators()) for n in (1, 6))
    assert (wavy(best) >= wavy(first)).all()
    assert (wavy(best) > wavy(first)).any()
    assert Ascent(**roa).ratio_to_bound(best, CLIPS).max() <= 1


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, [True] * 5),
        ({"keep": "best"}, [True] * 5 + [False]),
        ({"restarts": 2}, ([True] * 5 + [False]) * 2),
        ({"restarts": 2, "keep": "best"}, ([True] * 5 + [False]) * 2),
        ({"unmasked_first_gradient": True}, [True] * 5),
        ({"precision": "bf16"}, [True] * 5),
    ],
)
def test_the_cost_is_what_is_documented(options, passes):
    calls: list[bool] = []
    Ascent(perturbation=PGD, start=NOISE, steps=5, **options)(counting(calls), CLIPS, generators())
    assert calls == passes


def test_options_leave_each_clip_to_itself():
    options = {"restarts": 2, "keep": "best", "start": NOISE, "region": RandomPixels(count=9, replace=False)}
    ascent = Ascent(perturbation=PGD, steps=3, **options)
    together = ascent(wavy, CLIPS, generators())
    for i, generator in enumerate(generators()):
        assert torch.equal(together[i : i + 1], ascent(wavy, CLIPS[i : i + 1], [generator]))


def test_a_clip_that_overflows_once_is_reported_whatever_other_restarts_find():
    calls = []

    def once(clips):
        calls.append(clips.requires_grad)
        scale = torch.tensor([1.0, torch.nan if len(calls) == 2 else 1.0, 1.0, 1.0])
        return wavy(clips) * scale

    found = Ascent(perturbation=PGD, start=NOISE, steps=2, restarts=3, keep="best")(once, CLIPS, generators())
    assert found.isnan().flatten(1).any(1).tolist() == [False, True, False, False]


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_an_infinite_loss_is_reported_even_where_its_gradient_is_finite(value):
    offset = torch.tensor([0.0, 0.0, value, 0.0])
    found = Ascent(perturbation=PGD, steps=2)(lambda clips: wavy(clips) + offset, CLIPS, generators())
    assert found.isnan().flatten(1).all(1).tolist() == [False, False, True, False]


def test_a_loss_is_one_number_for_each_clip():
    with pytest.raises(ValueError, match=r"the loss of 4 clips has shape \(\): give one per clip"):
        Ascent(perturbation=PGD, steps=1)(lambda clips: wavy(clips).mean(), CLIPS, generators())


def test_the_first_gradient_of_the_authors_af_is_taken_at_a_noisy_clip():
    """Written as in their code: one noise over the whole clip, masked after the first update only."""
    border = Border(width=2)
    mask = border.mask(CLIPS, generators())
    delta = torch.stack([torch.empty(CLIPS.shape[1:]).uniform_(-1, 1, generator=g) for g in generators()])
    delta = (CLIPS + delta).clamp(0, 1) - CLIPS
    for _ in range(3):
        seen = (CLIPS + delta).requires_grad_()
        (gradient,) = torch.autograd.grad(mixing(seen).sum(), seen)
        delta = ((delta + 70 / 255 * gradient.sign()) * mask).clamp(-1, 1)
        delta = (CLIPS + delta).clamp(0, 1) - CLIPS
    af = {"perturbation": FREE, "region": border, "start": UniformNoise(radius=1.0), "steps": 3}
    found = Ascent(**af, unmasked_first_gradient=True)(mixing, CLIPS, generators())
    torch.testing.assert_close(found, CLIPS + delta, rtol=0, atol=1e-5)
    assert torch.equal(found[~mask.expand_as(found)], CLIPS[~mask.expand_as(CLIPS)])
    assert (Ascent(**af)(mixing, CLIPS, generators()) - found).abs().max() > 0.1


def mixing(clips: torch.Tensor) -> torch.Tensor:
    """Its gradient at a pixel depends on those beside it."""
    return ((clips + 0.1) * (clips.roll(3, -1) + 0.1) * WEIGHT).flatten(1).sum(1)


WEIGHT = torch.randn(CLIPS.shape[1:], generator=torch.Generator().manual_seed(3))


def test_the_authors_batches_attack_their_first_clip_only():
    region = RandomRectangle(height=3, width=3)
    roa = {"perturbation": FREE, "start": Constant(value=0.5), "steps": 2}
    every = Ascent(**roa, region=region)(wavy, CLIPS, generators())
    found = Ascent(**roa, region=FirstSampleOnly(region=region))(wavy, CLIPS, generators())
    assert torch.equal(found[0], every[0])
    assert torch.equal(found[1:], CLIPS[1:])
    assert not torch.equal(every[1:], CLIPS[1:])


def test_log_uniform_starts_are_ratios():
    first = LogUniform(ratio=1.5).first(CLIPS, generators())
    ratio = (first / CLIPS)[CLIPS > 0].log()
    assert torch.equal(first[CLIPS == 0], CLIPS[CLIPS == 0])
    reach = math.log(1.5)
    assert ratio.abs().max() <= reach + 1e-6
    assert ratio.std().item() == pytest.approx(reach / 3**0.5, rel=0.05)
    multav = Ascent(perturbation=RatioLinf(epsilon=1.5, step_size=1.1), start=LogUniform(ratio=1.5), steps=2)
    assert multav.ratio_to_bound(multav(wavy, CLIPS, generators()), CLIPS).max() <= 1 + 1e-5
    with pytest.raises(PipelineError, match=r"ratio is 0\.9: it must be at least 1"):
        LogUniform(ratio=0.9)


def upwards(clips: torch.Tensor) -> torch.Tensor:
    """Larger where even columns are brighter and odd ones darker."""
    sign = torch.ones(clips.shape[-1])
    sign[1::2] = -1
    return (clips * sign).flatten(1).sum(1)


@pytest.mark.parametrize("steps", [1, 3])
def test_zeros_grow_from_the_darkest_level_or_stay(steps):
    black, up = CLIPS == 0, torch.arange(10) % 2 == 0
    kept, floored = (
        Ascent(perturbation=RatioLinf(epsilon=3.55, step_size=1.7, zeros=zeros), steps=steps)
        for zeros in ("keep", "floor")
    )
    found, grown = kept(upwards, CLIPS, generators()), floored(upwards, CLIPS, generators())
    assert torch.equal(found[~black], grown[~black])
    assert (found[black] == 0).all()
    expected = torch.where(up, min(1.7**steps, 3.55) / 255, 0.0).expand_as(CLIPS)
    torch.testing.assert_close(grown[black], expected[black])
    assert floored.ratio_to_bound(grown, CLIPS).max() <= 1 + 1e-5
    assert kept.ratio_to_bound(grown, CLIPS).isinf().all()
    stored = floored.quantize(grown, CLIPS)
    assert floored.ratio_to_bound(stored, CLIPS).max() <= 1 + 1e-5
    assert set((stored[black] * 255).round().unique().tolist()) == {0.0, [0, 2, 0, 3][steps]}


def test_zeros_of_the_l2_ratio_grow_within_the_bound():
    """A change of 1/255 counts as one."""
    black, up = CLIPS == 0, (torch.arange(10) % 2 == 0).expand_as(CLIPS)
    perturbation = RatioL2(epsilon=3.0, step_size=50.0, zeros="floor")
    ascent = Ascent(perturbation=perturbation, steps=3)
    found = ascent(upwards, CLIPS, generators())
    change = torch.where(black, found * 255, found / CLIPS - 1)
    assert (change.flatten(1).norm(dim=1) < 3.0 * (1 + 1e-5)).all()
    assert (change.flatten(1).norm(dim=1) > 2.8).all()  # the box has cut some
    assert (found[black & up] > 0).all()
    assert (found[black & ~up] == 0).all()
    stored = ascent.quantize(found, CLIPS)
    assert ascent.ratio_to_bound(stored, CLIPS).max() <= 1 + 1e-5
    assert RatioL2(epsilon=3.0, step_size=50.0).ratio_to_bound(found, CLIPS).isinf().all()


def test_a_step_larger_than_the_bound_is_allowed_and_told_once(caplog):
    with caplog.at_level(logging.INFO, logger="pipeline_lib"):
        ascent = Ascent(perturbation=AdditiveLinf(epsilon=4 / 255, step_size=1.0), steps=5)
        found = ascent(wavy, CLIPS, generators())
        ascent(wavy, CLIPS, generators())
        AdditiveLinf(epsilon=4 / 255, step_size=4 / 255)
        AdditiveL1(epsilon=2.0, step_size=0.1, most=20)
        AdditiveL1(epsilon=2.0, step_size=0.11, most=20)
    assert [record.getMessage() for record in caplog.records] == [
        "a step of 1 is larger than epsilon 0.01569: each step ends on the bound",
        "a step of 2.2 is larger than epsilon 2: each step ends on the bound",
    ]
    corner = ((found - CLIPS).abs() * 255 - 4).abs() < 1e-3
    assert (corner | (found == 0) | (found == 1)).all()


@pytest.mark.parametrize(
    ("perturbation", "start", "size"),
    [
        (AdditiveLinf(epsilon=0.1, step_size=0.1), UniformNoise, "radius"),
        (AdditiveL2(epsilon=0.1, step_size=0.1), UniformBox, "radius"),
        (RatioLinf(epsilon=1.1, step_size=1.1), LogUniform, "ratio"),
    ],
)
def test_a_start_outside_of_the_bound_is_allowed_and_told_once(caplog, perturbation, start, size):
    with caplog.at_level(logging.INFO, logger="pipeline_lib"):
        Ascent(perturbation=perturbation, start=start(**{size: perturbation.epsilon}), steps=5)
        ascent = Ascent(perturbation=perturbation, start=start(**{size: 2.0}), steps=1)
        seen = []
        found = ascent(lambda clips: seen.append(clips.detach()) or wavy(clips), CLIPS, generators())
    epsilon = perturbation.epsilon
    assert [record.getMessage() for record in caplog.records] == [
        f"the start's {size} 2 is larger than epsilon {epsilon:.4g}: it is outside of the bound"
    ]
    assert ascent.ratio_to_bound(seen[0], CLIPS).min() > 1 + 1e-4
    assert ascent.ratio_to_bound(found, CLIPS).max() <= 1 + 1e-5


def test_the_printed_l2_bound_is_for_all_pixels():
    printed = PrintedRatioL2(epsilon=160, step_size=3.55)
    Ascent(perturbation=printed, steps=1)
    with pytest.raises(PipelineError, match="region is Border: PrintedRatioL2 bounds the whole clip, use it with all"):
        Ascent(perturbation=printed, region=Border(width=2), steps=1)


@pytest.mark.parametrize("frames", [(), (5,)])
def test_without_replacement_no_two_pixels_are_alike(frames):
    clips = torch.zeros(3, 3, *frames, 6, 7)
    mask = RandomPixels(count=11, replace=False).mask(clips, generators(3))
    assert (mask.sum((-1, -2)) == 11).all()
    assert not torch.equal(mask[0], mask[1])
    whole = RandomPixels(count=42, replace=False).mask(clips, generators(3))
    assert whole.all()


def test_pixels_without_replacement_are_uniform():
    clips = torch.zeros(1, 3, 4000, 4, 5)
    counts = RandomPixels(count=3, replace=False).mask(clips, generators(1)).sum((0, 1, 2)).double()
    expected = 4000 * 3 / 20
    assert ((counts - expected) ** 2 / expected).sum() < 19 + 5 * 38**0.5


@pytest.mark.parametrize("replace", [True, False])
def test_more_pixels_than_exist_are_refused(replace):
    with pytest.raises(ValueError, match="count is 121: frames of 12 x 10 have 120 pixels"):
        RandomPixels(count=121, replace=replace).mask(CLIPS, generators())


def test_one_place_for_all_frames_of_a_video():
    clips = torch.zeros(2, 3, 300, 12, 9)
    region = RandomRectangle(height=3, width=4, per="video")
    mask = region.mask(clips, generators(2))
    assert mask.shape == (2, 1, 300, 12, 9)
    assert torch.equal(mask, mask[:, :, :1].expand_as(mask))
    assert region.admits(mask).all()
    moving = RandomRectangle(height=3, width=4).mask(clips, generators(2))
    assert not region.admits(moving).any()
    image = RandomRectangle(height=3, width=4).mask(clips[:, :, 0], generators(2))
    assert torch.equal(region.mask(clips[:, :, 0], generators(2)), image)


@pytest.mark.parametrize("name", ["steps", "restarts"])
def test_none_of_something_is_refused(name):
    with pytest.raises(PipelineError, match=f"{name} is 0"):
        Ascent(**{"perturbation": PGD, "steps": 1} | {name: 0})


def test_a_start_outside_the_bound_is_never_the_best_iterate():
    """The loss is largest far from the clips, where this start is and no later iterate may be."""
    small = AdditiveLinf(epsilon=2 / 255, step_size=1 / 255)
    attack = Ascent(perturbation=small, start=UniformNoise(radius=32 / 255), steps=2, keep="best")
    found = attack(lambda clips: (clips - CLIPS).square().flatten(1).sum(1), CLIPS, generators())
    assert (attack.ratio_to_bound(found, CLIPS) <= 1 + 1e-4).all()
