"""Attacks on the parameters of a change: closed forms, an independent oracle, invariants."""

import math

import numpy as np
import pytest
import torch

from attack_cases import generators, random_clips
from pipeline_lib.attacks.frame_order import DroppedFrames, in_order
from pipeline_lib.attacks.frame_regions import SomeFrames
from pipeline_lib.attacks.parameters import Drawn, ParameterAscent
from pipeline_lib.attacks.variations import gabor, weather
from pipeline_lib.attacks.variations.flicker import Flicker
from pipeline_lib.attacks.variations.flow import SmallFlow
from pipeline_lib.attacks.variations.gabor import Gabor, gabor_kernel
from pipeline_lib.attacks.variations.pose import TranslationRotation
from pipeline_lib.attacks.variations.recolor import Recolor, interpolated
from pipeline_lib.attacks.variations.weather import Fog, Snow, streak, texture
from pipeline_lib.errors import PipelineError

CLIPS = 0.25 + random_clips(4, 3, 4, 12, 10) / 2
IMAGES = CLIPS[:, :, 0]
WEIGHT = torch.randn(CLIPS.shape[1:], generator=torch.Generator().manual_seed(3))
VARIATIONS = [
    Flicker(epsilon=0.1),
    TranslationRotation(translation=2, rotation=20),
    SmallFlow(pixels=1, grid=4),
    SmallFlow(pixels=1, grid=4, per="frame"),
    Fog(strength=0.5),
    Snow(density=0.1),
    Gabor(epsilon=0.1),
    Recolor(epsilon=0.1, lattice=4),
]
NAMES = [f"{type(one).__name__}-{getattr(one, 'per', '')}".rstrip("-") for one in VARIATIONS]


def linear(clips):
    return (clips * (WEIGHT if clips.dim() == 5 else WEIGHT[:, 0])).flatten(1).sum(1)


def drawn(variation, clips):
    return variation(clips, generators(len(clips)))


@pytest.mark.parametrize("clips", [CLIPS, IMAGES], ids=["videos", "images"])
@pytest.mark.parametrize("variation", VARIATIONS, ids=NAMES)
def test_a_variation_shows_clips_in_the_box_and_gives_each_parameter_a_gradient(variation, clips):
    made = drawn(variation, clips)
    parameters = made.first.clone().requires_grad_()
    shown = made.show(parameters)
    linear(shown).sum().backward()
    assert shown.shape == clips.shape
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert made.first.abs().max() <= 1
    assert parameters.grad.flatten(1).abs().amax(1).min() > 0
    assert made.cost(made.first).shape == (len(clips),)


@pytest.mark.parametrize("variation", VARIATIONS, ids=NAMES)
def test_the_attack_raises_the_loss_and_a_clip_does_not_depend_on_its_batch(variation):
    attack = ParameterAscent(variation=variation, steps=3, restarts=2)
    made = attack(linear, CLIPS, generators())
    alone = attack(linear, CLIPS[2:3], generators(1, first=2))
    assert (linear(made) >= linear(drawn(variation, CLIPS).show(drawn(variation, CLIPS).first)) - 1e-4).all()
    torch.testing.assert_close(made[2:3], alone, atol=1e-5, rtol=0)
    lattice = attack.quantize(made, CLIPS) * 255
    torch.testing.assert_close(lattice, lattice.round(), atol=1e-3, rtol=0)


def test_flicker_reaches_the_closed_form_on_a_linear_loss():
    made = ParameterAscent(variation=Flicker(epsilon=0.1), steps=10)(linear, CLIPS, generators())
    best = CLIPS + 0.1 * WEIGHT.sum((2, 3), keepdim=True).sign()
    torch.testing.assert_close(made, best, atol=1e-6, rtol=0)


def test_the_cost_of_a_flicker_is_its_mean_square_and_that_of_its_differences():
    offsets = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 4, 1, 1).expand(1, 3, 4, 1, 1)
    assert Flicker(epsilon=0.1, thickness=2)(CLIPS[:1], generators(1)).cost(offsets) == 2
    assert Flicker(epsilon=0.1, roughness=1)(CLIPS[:1], generators(1)).cost(offsets) == 4 + 16
    flicker = drawn(Flicker(epsilon=0.1, thickness=2, roughness=3), CLIPS)
    torch.testing.assert_close(flicker.show(flicker.first), (CLIPS + 0.1 * flicker.first).clamp(0, 1))
    p = flicker.first[..., 0, 0]  # (N, C, T), frames in a circle
    expected = 2 * (p**2).mean((1, 2))
    for t in range(4):
        first, second = p[:, :, t] - p[:, :, t - 1], p[:, :, t - 1] - 2 * p[:, :, t] + p[:, :, (t + 1) % 4]
        expected = expected + 3 * (first**2 + second**2).mean(1) / 4
    torch.testing.assert_close(flicker.cost(flicker.first), expected)


@pytest.mark.parametrize("clips", [CLIPS, IMAGES], ids=["videos", "images"])
def test_translations_are_shifts_and_rotations_turn_the_frame(clips):
    move = TranslationRotation(translation=2, rotation=90)
    shifted = drawn(move, clips).show(torch.tensor([[0.0, 1.0, -0.5]]).expand(4, 3))
    torch.testing.assert_close(shifted[..., :-1, 2:], clips[..., 1:, :-2], atol=1e-5, rtol=0)
    assert (shifted[..., :2] < 1e-5).all()  # black comes in
    square = clips[..., :10, :10]
    turned = drawn(move, square).show(torch.tensor([[1.0, 0.0, 0.0]]).expand(4, 3))
    torch.testing.assert_close(turned, square.rot90(-1, (-2, -1)), atol=1e-4, rtol=0)


def test_a_rotation_keeps_distances_in_frames_that_are_not_square():
    still = torch.zeros(1, 3, 21, 41)
    still[..., 10, 26] = 1  # six pixels right of the center
    turned = drawn(TranslationRotation(translation=0, rotation=90), still).show(torch.tensor([[1.0, 0, 0]]))
    assert turned[0, 0].argmax() == 16 * 41 + 20  # six pixels below it


def test_a_flow_of_one_vector_is_a_shift_and_zero_is_no_change():
    flow = drawn(SmallFlow(pixels=1, grid=2), CLIPS)
    torch.testing.assert_close(flow.show(torch.zeros_like(flow.first)), CLIPS, atol=1e-5, rtol=0)
    right = torch.zeros_like(flow.first)
    right[:, :, 0] = 1
    torch.testing.assert_close(flow.show(right)[..., :-1], CLIPS[..., 1:], atol=1e-5, rtol=0)


def test_a_flow_may_be_one_for_all_frames_or_one_for_each_and_repeats_the_edge():
    flow = drawn(SmallFlow(pixels=1, grid=2, per="frame"), CLIPS)
    assert [drawn(SmallFlow(pixels=1, grid=2), CLIPS).first.shape[1], flow.first.shape[1]] == [1, 4]
    down = torch.zeros_like(flow.first)
    down[:, 2, 1] = 1  # of the third frame only
    shown = flow.show(down)
    torch.testing.assert_close(shown[:, :, [0, 1, 3]], CLIPS[:, :, [0, 1, 3]], atol=1e-5, rtol=0)
    torch.testing.assert_close(shown[:, :, 2, :-1], CLIPS[:, :, 2, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(shown[:, :, 2, -1], CLIPS[:, :, 2, -1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [2, 4])
def test_a_flow_for_each_frame_is_that_of_the_frames_as_images(frames):
    flow = drawn(SmallFlow(pixels=1, grid=3, per="frame"), CLIPS[:, :, :frames])
    shown = flow.show(flow.first)
    for t in range(frames):
        alone = drawn(SmallFlow(pixels=1, grid=3), CLIPS[:, :, t]).show(flow.first[:, t : t + 1])
        torch.testing.assert_close(shown[:, :, t], alone)


def test_fog_has_grids_of_growing_sides_whose_weights_halve():
    assert drawn(Fog(strength=1, octaves=3), CLIPS).first.shape == (4, 3**2 + 5**2 + 9**2)
    grids = [torch.full((1, side * side), value) for side, value in ((3, 1.0), (5, 0.0), (9, -1.0))]
    flat = texture(torch.cat(grids, 1), [3, 5, 9], (6, 7))
    torch.testing.assert_close(flat, torch.full((1, 6, 7), (1 - 1 / 4) / (1 + 1 / 2 + 1 / 4)))


def test_snow_and_gabor_noise_are_drawn_by_the_generators_of_the_clips():
    for variation in (Snow(density=0.1), Gabor(epsilon=0.1, density=0.5)):
        first, again = (drawn(variation, CLIPS) for _ in range(2))
        assert torch.equal(first.show(first.first), again.show(again.first))


def test_fog_runs_from_no_change_to_its_strength_of_white():
    fog = drawn(Fog(strength=0.5), CLIPS)
    torch.testing.assert_close(fog.show(-torch.ones_like(fog.first)), CLIPS)
    torch.testing.assert_close(fog.show(torch.ones_like(fog.first)), CLIPS * 0.5 + 0.5)


def test_snow_only_brightens_and_only_along_its_streaks():
    snow = drawn(Snow(density=0.02, length=3), CLIPS)
    torch.testing.assert_close(snow.show(-torch.ones_like(snow.first)), CLIPS)
    bright = snow.show(torch.ones_like(snow.first))
    assert (bright >= CLIPS - 1e-6).all()
    assert 0 < (bright > CLIPS + 1e-6).float().mean() < 0.3
    assert streak(0.0, 5).sum() == 5
    assert streak(math.pi / 2, 5)[:, 2].sum() == 5
    diagonal = torch.eye(5)
    diagonal[0, 0] = diagonal[4, 4] = 0
    assert torch.equal(streak(math.pi / 4, 5), diagonal)  # to the right and down


def test_a_flake_is_as_bright_as_its_parameter_and_the_strength_say():
    """One flake in the middle: its streak is on all frames and channels."""
    place = torch.zeros(4, 12, 10, dtype=torch.bool)
    place[:, 6, 5] = True
    kernels = streak(math.pi / 2, 3).expand(4, -1, -1)
    for flake, bright in ((1.0, 0.8), (0.5, 0.6), (-1.0, 0.0)):
        white = torch.zeros(12, 10)
        white[5:8, 5] = bright
        shown = Snow(length=3, strength=0.8)._shown(CLIPS, torch.full((4, 12, 10), flake), place, kernels)
        torch.testing.assert_close(shown, CLIPS + (1 - CLIPS) * white)


def test_gabor_noise_stays_inside_its_bound_and_its_kernel_is_a_wave():
    noise = drawn(Gabor(epsilon=0.1, density=0.5), CLIPS)
    assert (noise.show(torch.ones_like(noise.first)) - CLIPS).abs().max() <= 0.1 + 1e-6
    kernel = gabor_kernel(0.0, 4.0, 2.0)
    assert kernel[6, 6] == 1
    assert kernel[6, 8] == pytest.approx(-math.exp(-0.5))  # half a wave to the right
    torch.testing.assert_close(kernel, kernel.flip(0, 1))
    turned = gabor_kernel(math.pi / 6, 4.0, 2.0)
    along = 2 * math.cos(math.pi / 6) + 1 * math.sin(math.pi / 6)  # two pixels to the right and one down
    assert turned[7, 8] == pytest.approx(math.exp(-5 / 8) * math.cos(2 * math.pi * along / 4), abs=1e-6)
    narrow = gabor_kernel(0.0, 4.0, 1.5)
    assert narrow.shape == (11, 11)
    assert narrow[5, 7] == pytest.approx(-math.exp(-4 / 4.5))


@pytest.mark.parametrize(("weight", "largest"), [(0.5, 0.5), (1.5, 1.0), (-1.5, -1.0)])
def test_gabor_noise_is_the_kernel_around_a_point_scaled_to_at_most_one(weight, largest):
    kernel = gabor_kernel(0.3, 4.0, 1.0)
    point = torch.zeros(4, 12, 10)
    point[:, 6, 5] = weight
    expected = CLIPS.clone()
    expected[..., 3:10, 2:9] += 0.1 * largest * kernel
    shown = Gabor(epsilon=0.1)._shown(CLIPS, point, kernel.expand(4, -1, -1))
    torch.testing.assert_close(shown, expected.clamp(0, 1))


def test_orientations_of_gabor_noise_are_uniform_over_half_a_turn(monkeypatch):
    angles = []
    monkeypatch.setattr(gabor, "gabor_kernel", lambda angle, *of: angles.append(angle) or gabor_kernel(angle, *of))
    Gabor(epsilon=0.1)(CLIPS[:1].expand(40, -1, -1, -1, -1), generators(40))
    assert 0 <= min(angles) < 0.1 * math.pi
    assert 0.9 * math.pi < max(angles) < math.pi
    assert sum(angles) / 40 == pytest.approx(math.pi / 2, abs=0.5)


def test_recoloring_is_scipys_interpolation_on_the_color_cube():
    interpolate = pytest.importorskip("scipy.interpolate")
    change = drawn(Recolor(epsilon=0.1, lattice=5), CLIPS)
    axis = np.linspace(0, 1, 5)
    got = (change.show(change.first) - CLIPS).movedim(1, -1)
    for clip, offsets, found in zip(CLIPS, change.first, got, strict=True):
        lattice = interpolate.RegularGridInterpolator((axis, axis, axis), offsets.movedim(0, -1).numpy())
        wanted = 0.1 * lattice(clip.movedim(0, -1).numpy().astype(np.float64))
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


def test_a_gradient_that_is_not_finite_is_an_error_not_robustness():
    def broken(clips):
        return linear(clips) * torch.tensor([1.0, torch.nan, 1.0, 1.0])

    attack = ParameterAscent(variation=Flicker(epsilon=0.1), steps=2)
    made = attack(broken, CLIPS, generators())
    assert made.isnan().flatten(1).any(1).tolist() == [False, True, False, False]
    with pytest.raises(PipelineError, match="not finite"):
        attack.quantize(made, CLIPS)


def test_the_cost_is_subtracted_from_the_loss():
    class Paid:
        def __call__(self, clips, generators):
            first = torch.zeros(len(clips), 1)
            return Drawn(first, lambda at: clips + 0 * at.sum(), lambda at: (at[:, 0] - 0.5).square())

    offered = ParameterAscent(variation=Paid(), steps=1, step_size=0.5)
    torch.testing.assert_close(offered(linear, CLIPS, generators()), CLIPS)


@pytest.mark.parametrize(("steps", "step_size", "end"), [(2, 0.2, 0.4), (1, 1.0, 0.0)])
def test_parameters_follow_the_cost_where_the_loss_is_the_same_everywhere(steps, step_size, end):
    """The second one is without a cost and stays. A last iterate past the minimum costs more than the first."""

    class Bowl:
        def __call__(self, clips, generators):
            return Drawn(torch.zeros(len(clips), 2), shown(clips), lambda at: (at[:, 0] - 0.4).square())

    def shown(clips):
        return lambda at: clips + 0.1 * at.sum(1).view(-1, 1, 1, 1, 1)

    made = ParameterAscent(variation=Bowl(), steps=steps, step_size=step_size)(
        lambda seen: 0 * linear(seen), CLIPS, generators()
    )
    torch.testing.assert_close(made, CLIPS + 0.1 * end)


@pytest.mark.parametrize(("precision", "kind"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_is_that_of_the_passes_only(precision, kind):
    seen = []

    def loss(clips):
        products = clips.flatten(1) @ WEIGHT.flatten()[:, None]
        seen.append((clips.dtype, products.dtype))
        return products[:, 0]

    made = ParameterAscent(variation=Flicker(epsilon=0.1), steps=2, precision=precision)(loss, CLIPS, generators())
    assert seen == [(torch.float32, kind)] * 3
    assert made.dtype == torch.float32


@pytest.mark.parametrize(
    ("precision", "message"),
    [("tf32", "^precision is tf32: for all attacks"), ("fp16", "^config: precision: fp16 is refused")],
)
def test_other_precisions_are_refused(precision, message):
    with pytest.raises(PipelineError, match=message):
        ParameterAscent(variation=Flicker(epsilon=0.1), steps=1, precision=precision)


def test_dropped_frames_are_replaced_by_the_frame_before():
    attack = DroppedFrames(dropped=2, tries=8)
    made = attack(linear, CLIPS, generators())
    best = DroppedFrames(dropped=2, tries=40)(linear, CLIPS, generators())
    assert (linear(best) >= linear(made)).all()
    assert (linear(made) >= linear(CLIPS)).all()
    for clip, clean in zip(made, CLIPS, strict=True):
        sources = [next(s for s in range(t, -1, -1) if torch.equal(clip[:, t], clean[:, s])) for t in range(4)]
        assert sources[0] == 0
        assert sources == sorted(sources)
        assert len(set(sources)) in (2, 4)  # two dropped, or the clean clip


def test_dropped_frames_are_drawn_by_the_generator_and_never_the_first():
    attack = DroppedFrames(dropped=3)
    orders, again = (torch.stack([attack._order(8, one) for one in generators(50)]) for _ in range(2))
    assert torch.equal(orders, again)
    repeated = orders != torch.arange(8)
    assert not repeated[:, 0].any()
    assert (repeated.sum(1) == 3).all()
    assert repeated[:, 1:].any(0).all()


def test_drawn_frames_are_those_of_each_clip_s_generator():
    region = SomeFrames(count=1, choice="drawn")
    masks, again = (region.mask(CLIPS, generators()) for _ in range(2))
    assert torch.equal(masks, again)
    assert (masks.flatten(1).sum(1) == 1).all()
    assert not torch.equal(masks, SomeFrames(count=1).mask(CLIPS, generators()).expand_as(masks))


def test_order_of_frames():
    order = torch.tensor([[0, 0, 2, 2]]).expand(4, 4)
    torch.testing.assert_close(in_order(CLIPS, order)[:, :, 3], CLIPS[:, :, 2])


@pytest.mark.parametrize("clips", [CLIPS[:, :, :2], IMAGES], ids=["two frames", "images"])
def test_clips_that_are_too_short_are_named(clips):
    with pytest.raises(PipelineError, match="too short"):
        DroppedFrames(dropped=2)(linear, clips, generators())
    with pytest.raises(PipelineError, match="too short"):
        SomeFrames(count=3).mask(clips, generators())


@pytest.mark.parametrize("choice", ["even", "drawn"])
def test_some_frames_are_as_many_as_asked_for(choice):
    region = SomeFrames(count=2, choice=choice)
    mask = region.mask(CLIPS, generators()).expand(4, 1, 4, 12, 10)
    assert (mask.flatten(3).any(3).sum((1, 2)) == 2).all()
    assert region.admits(mask).all()
    assert not region.admits(torch.ones_like(mask)).any()
    if choice == "even":
        assert mask[0, 0, :, 0, 0].tolist() == [True, False, True, False]


def test_the_last_color_of_the_lattice_is_its_own():
    lattice = torch.rand(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    corners = torch.tensor([[[3.0, 0.0, 3.0], [3.0, 0.0, 0.0], [3.0, 0.0, 1.0]]])
    expected = torch.stack([lattice[0, :, 3, 3, 3], lattice[0, :, 0, 0, 0], lattice[0, :, 3, 0, 1]], 1)
    torch.testing.assert_close(interpolated(lattice, corners)[0], expected)


@pytest.mark.parametrize("variation", VARIATIONS, ids=NAMES)
def test_black_and_white_stay_in_the_box(variation):
    made = drawn(variation, (CLIPS > 0.5).float())
    for parameters in (made.first, torch.ones_like(made.first), -torch.ones_like(made.first)):
        shown = made.show(parameters)
        assert 0 <= shown.min() <= shown.max() <= 1


@pytest.mark.parametrize("variation", [SmallFlow(grid=2), TranslationRotation(translation=1)], ids=["flow", "pose"])
def test_white_stays_in_the_box_whatever_the_rounding(variation):
    """In so small frames, sums of weights are above 1 by a bit of float32 for one place in a hundred."""
    made = drawn(variation, torch.ones(400, 3, 3, 3))
    assert made.show(made.first).max() == 1


def test_the_costs_of_a_flow_and_of_a_recoloring_are_mean_squared_differences_of_neighbors():
    flow = drawn(SmallFlow(grid=4, per="frame", smoothness=3), CLIPS)
    x = flow.first
    across, down = (x[..., 1:] - x[..., :-1]) ** 2, (x[..., 1:, :] - x[..., :-1, :]) ** 2
    torch.testing.assert_close(flow.cost(x), 3 * (across.flatten(1).mean(1) + down.flatten(1).mean(1)))
    colors = drawn(Recolor(epsilon=0.1, lattice=4, smoothness=3), CLIPS)
    x = colors.first
    blue = (x[..., 1:] - x[..., :-1]) ** 2
    green = (x[..., 1:, :] - x[..., :-1, :]) ** 2
    red = (x[:, :, 1:] - x[:, :, :-1]) ** 2
    expected = 3 * sum(one.flatten(1).mean(1) for one in (red, green, blue))
    torch.testing.assert_close(colors.cost(x), expected)


def test_snow_falls_within_45_degrees_of_the_vertical(monkeypatch):
    angles = []
    monkeypatch.setattr(weather, "streak", lambda angle, length: angles.append(angle) or streak(angle, length))
    Snow()(CLIPS[:1].expand(40, -1, -1, -1, -1), generators(40))
    assert math.pi / 4 <= min(angles) < math.pi * 0.3
    assert math.pi * 0.7 < max(angles) <= math.pi * 3 / 4
