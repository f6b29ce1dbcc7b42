"""l2 and l1 bounds: closed forms, projections against their optimality conditions, and the 8-bit lattice inside."""

import itertools
import math

import pytest
import torch

from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2, PrintedRatioL2, RatioL2
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

SHAPES = [(3, 3, 2, 6, 5), (3, 3, 6, 5)]
BOUNDS = {
    "l2": AdditiveL2(epsilon=0.3, step_size=0.1),
    "l2 far": AdditiveL2(epsilon=4.0, step_size=1.0),
    "l1": AdditiveL1(epsilon=0.7, step_size=0.05),
    "l1 far": AdditiveL1(epsilon=6.0, step_size=0.15),
    "ratio": RatioL2(epsilon=0.8, step_size=3.55),
    "ratio of frames": RatioL2(epsilon=0.5, step_size=3.55, per="frame"),
    "ratio of channels": RatioL2(epsilon=0.4, step_size=3.55, per="channel"),
}


def random_levels(shape, seed: int) -> torch.Tensor:
    """Clips on the 8-bit lattice, with black and white pixels among them."""
    return torch.randint(-40, 296, shape, generator=torch.Generator().manual_seed(seed)).clamp(0, 255) / 255


def generators(n: int = 3, seed: int = 0) -> list[torch.Generator]:
    return clip_generators(seed, [str(i) for i in range(n)])


def used(perturbation, moved: torch.Tensor, clean: torch.Tensor) -> float:
    """The largest fraction of the bound, from its definition, in float64 on whole grey levels."""
    moved, clean = (moved.double() * 255), (clean.double() * 255).round()
    if isinstance(perturbation, AdditiveL2):
        return ((moved - clean) ** 2).flatten(1).sum(1).sqrt().max().item() / (255 * perturbation.epsilon)
    if isinstance(perturbation, AdditiveL1):
        return (moved - clean).abs().flatten(1).sum(1).max().item() / (255 * perturbation.epsilon)
    assert (moved[clean == 0] == 0).all()
    change = torch.where(clean > 0, moved / clean.clamp_min(1) - 1, 0)
    dims = {"clip": list(range(1, clean.dim())), "frame": [1, -2, -1], "channel": [-2, -1]}[perturbation.per]
    return (change**2).sum(dims).sqrt().max().item() / perturbation.epsilon


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", BOUNDS)
def test_live_and_stored_clips_stay_in_the_bound(name, shape, seed):
    perturbation, clean = BOUNDS[name], random_levels(shape, seed)
    source = torch.Generator().manual_seed(100 + seed)
    live = clean
    for _ in range(4):
        gradient = torch.randn(shape, generator=source)
        moved = perturbation.step(live, gradient, generators(seed=seed))
        live = perturbation.project(moved, clean).clamp(0, 1)
        assert used(perturbation, live, clean) <= 1 + 1e-5
        assert perturbation.ratio_to_bound(live, clean).max().item() == pytest.approx(
            used(perturbation, live, clean), rel=1e-4, abs=1e-6
        )
        stored = perturbation.quantize(live, clean)
        levels = (stored * 255).round()
        assert torch.equal(stored, levels / 255)
        assert levels.min() >= 0
        assert levels.max() <= 255
        assert used(perturbation, levels.double() / 255, clean) <= 1 + 1e-8
        assert perturbation.ratio_to_bound(stored, clean).max() <= 1 + 1e-5
        assert (stored - live).abs().max() <= 1.5 / 255 + 1e-6
    assert not torch.equal(live, clean)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", BOUNDS)
def test_the_clean_clip_is_left_alone(name, shape):
    clean = random_levels(shape, 0)
    assert torch.equal(BOUNDS[name].project(clean, clean), clean)
    assert torch.equal(BOUNDS[name].quantize(clean, clean), clean)
    assert torch.equal(BOUNDS[name].ratio_to_bound(clean, clean), torch.zeros(3))
    assert torch.equal(BOUNDS[name].step(clean, torch.zeros(shape), generators()), clean)


@pytest.mark.parametrize("name", ["l2", "l1", "ratio"])
def test_a_clip_inside_is_projected_onto_itself_and_rounded_to_the_nearest_level(name):
    clean = random_levels(SHAPES[0], 1)
    noise = torch.rand(SHAPES[0], generator=torch.Generator().manual_seed(2)) - 0.5
    inside = (clean + noise * 1e-3 * clean).clamp(0, 1)
    wide = type(BOUNDS[name])(epsilon=50.0, step_size=2.0)
    torch.testing.assert_close(wide.project(inside, clean), inside, rtol=0, atol=1e-6)
    assert torch.equal(wide.quantize(inside, clean), (inside * 255).round() / 255)


@pytest.mark.parametrize("seed", range(5))
def test_the_lattice_loses_little_of_a_ball_it_fills(seed):
    """Rounding all elements towards the clean clip would lose half a level each; here almost nothing is lost."""
    clean = torch.full((1, 3, 20, 20), 128 / 255)
    delta = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    for bound, norm in ((AdditiveL2(epsilon=0.4, step_size=1), 2), (AdditiveL1(epsilon=12.0, step_size=1), 1)):
        live = bound.project(clean + delta / delta.norm(norm) * bound.epsilon * 1.01, clean)
        toward = ((live - clean) * 255).trunc() / 255 + clean
        assert bound.ratio_to_bound(toward, clean).item() < 0.9
        assert 0.99 < bound.ratio_to_bound(bound.quantize(live, clean), clean).item() <= 1 + 1e-5


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_the_lattice_point_is_near_the_best_of_all(power, seed):
    """Against every lattice point around a clip of four elements: at most one move away from the least distance."""
    make = {1: AdditiveL1, 2: AdditiveL2}[power]
    clean = torch.full((1, 1, 2, 2), 100 / 255)
    wanted = torch.randn(4, generator=torch.Generator().manual_seed(seed)) * 2
    radius = wanted.norm(power).item()
    found = make(epsilon=radius / 255 * (1 + 1e-6), step_size=1).quantize(clean + wanted.view_as(clean) / 255, clean)
    distance = ((found * 255 - 100).flatten() - wanted).norm().item()
    points = torch.tensor(
        list(itertools.product(*[[math.floor(v) + i for i in (-1, 0, 1, 2)] for v in wanted.tolist()]))
    )
    inside = points[points.double().norm(power, dim=1) <= radius * (1 + 1e-6)]
    best = (inside - wanted).norm(dim=1).min().item()
    assert best - 1e-4 <= distance <= best + 0.75


def test_l2_projection_scales_onto_the_ball():
    clean = torch.full((2, 3, 2, 2), 0.5)
    far = clean + torch.tensor([0.1, 0.001]).view(2, 1, 1, 1)
    found = AdditiveL2(epsilon=0.2, step_size=1).project(far, clean)
    torch.testing.assert_close(found[0] - 0.5, torch.full((3, 2, 2), 0.2 / 12**0.5))
    torch.testing.assert_close(found[1], far[1])


@pytest.mark.parametrize("seed", range(30))
def test_l1_projection_is_the_nearest_point(seed):
    """Against the threshold found by bisection, one clip at a time, for radii from almost nothing to all of it."""
    source = torch.Generator().manual_seed(seed)
    delta = torch.randn(4, 2, 3, 3, generator=source) * 0.1
    radius = torch.rand((), generator=source).item() * 1.8 + 0.01
    clean = torch.full_like(delta, 0.5)
    found = AdditiveL1(epsilon=radius, step_size=1).project(clean + delta, clean) - clean
    for ours, given in zip(found, delta.double(), strict=True):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if (given.abs() - middle).clamp_min(0).sum() > radius else (low, middle)
        expected = given if given.abs().sum() <= radius else given.sign() * (given.abs() - high).clamp_min(0)
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_l1_projection_is_nearer_than_any_point_of_a_grid(seed):
    """Brute force in the plane."""
    delta = torch.randn(1, 1, 1, 2, generator=torch.Generator().manual_seed(seed))
    bound = AdditiveL1(epsilon=0.5, step_size=1)
    found = bound.project(delta, torch.zeros_like(delta)).flatten()
    axis = torch.linspace(-0.5, 0.5, 201)
    grid = torch.cartesian_prod(axis, axis)
    inside = grid[grid.abs().sum(1) <= 0.5]
    assert found.abs().sum() <= 0.5 + 1e-6
    assert (found - delta.flatten()).norm() <= (inside - delta.flatten()).norm(dim=1).min() + 1e-6


def test_l1_steps_along_the_largest_gradients_with_room():
    bound = AdditiveL1(epsilon=9, step_size=0.1, fewest=2, most=2)
    clips = torch.tensor([0.5, 0.95, 0.5, 0.05, 0.0, 0.5]).view(1, 1, 2, 3)
    gradient = torch.tensor([-1.0, 9.0, 2.0, -8.0, 1.5, 0.5]).view_as(clips)
    # Elements 1 and 3 have no room for 0.1 in their direction: elements 2 and 4 move, the black one inwards.
    expected = torch.tensor([0.5, 0.95, 0.6, 0.05, 0.1, 0.5]).view_as(clips)
    torch.testing.assert_close(bound.step(clips, gradient, generators(1)), expected)


def test_l1_draws_a_count_for_each_clip_and_keeps_the_length():
    bound = AdditiveL1(epsilon=99, step_size=0.01)
    clips = torch.full((2000, 1, 8, 8), 0.5)
    gradient = torch.rand(clips.shape, generator=torch.Generator().manual_seed(0)) + 1
    change = (bound.step(clips, gradient, generators(2000)) - clips).flatten(1)
    counts = (change != 0).sum(1)
    torch.testing.assert_close(change.sum(1), torch.full((2000,), 0.2), rtol=1e-4, atol=0)
    fractions = torch.bincount(counts, minlength=21)[5:21] / 2000
    assert counts.min() >= 5
    assert counts.max() <= 20
    assert (fractions - 1 / 16).abs().max() < 5 * (1 / 16 / 2000) ** 0.5


def test_l1_takes_all_elements_of_a_clip_that_has_fewer():
    clips = torch.full((1, 1, 1, 3), 0.5)
    found = AdditiveL1(epsilon=9, step_size=0.1, fewest=10, most=10).step(clips, torch.ones_like(clips), generators(1))
    torch.testing.assert_close(found, clips + 0.1)


def test_steps_of_l2_have_their_length_whatever_the_gradients_scale():
    clips = torch.full((2, 3, 4, 4), 0.5)
    gradient = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    gradient[1] *= 1e-4
    change = AdditiveL2(epsilon=9, step_size=0.25).step(clips, gradient, []) - clips
    torch.testing.assert_close(change.flatten(1).norm(dim=1), torch.full((2,), 0.25), rtol=1e-4, atol=0)
    for scale in (1e-12, 1e-25, 1e25):
        same = AdditiveL2(epsilon=9, step_size=0.25).step(clips, gradient * scale, []) - clips
        torch.testing.assert_close(same, change, rtol=1e-4, atol=1e-6)
    floor = AdditiveL2(epsilon=9, step_size=0.25, smallest_norm=1e-6)
    assert (floor.step(clips, gradient * 1e-12, []) - clips).abs().max() < 1e-3
    assert torch.equal(AdditiveL2(epsilon=9, step_size=0.25).step(clips, 0 * gradient, []), clips)


@pytest.mark.parametrize("per", ["clip", "frame", "channel"])
def test_the_ratios_change_has_the_radius_after_a_projection_from_outside(per):
    clean = torch.full((2, 3, 4, 5, 5), 0.25)
    bound = RatioL2(epsilon=0.1, step_size=2, per=per)
    far = clean * (1 + 0.5 * torch.rand(clean.shape, generator=torch.Generator().manual_seed(0)))
    change = bound.project(far, clean) / clean - 1
    dims = {"clip": (1, 2, 3, 4), "frame": (1, 3, 4), "channel": (3, 4)}[per]
    lengths = (change**2).sum(dims).sqrt()
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.1), rtol=1e-4, atol=0)


def test_black_pixels_have_no_ratio():
    clean = torch.tensor([0.0, 0.5]).view(1, 1, 1, 2)
    lit = torch.tensor([0.1, 0.5]).view(1, 1, 1, 2)
    bound = RatioL2(epsilon=5, step_size=2)
    assert bound.step(clean, torch.ones_like(clean), []).flatten()[0] == 0
    assert bound.ratio_to_bound(lit, clean).item() == math.inf
    for back in (bound.project(lit, clean), bound.quantize(lit, clean)):
        assert back.flatten()[0] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdditiveL2(epsilon=0, step_size=1), "epsilon is 0: it must be above 0"),
        (lambda: AdditiveL1(epsilon=1, step_size=math.nan), "step_size is nan"),
        (lambda: AdditiveL1(epsilon=1, step_size=1, fewest=7, most=6), "fewest and most are 7 and 6"),
        (lambda: RatioL2(epsilon=4, step_size=1.0), "step_size is 1.0: it must be above 1"),
    ],
)
def test_impossible_bounds_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


@pytest.mark.parametrize("scale", [1e-3, 10.0])
def test_a_step_of_l1_depends_on_the_direction_of_the_gradient_only(scale):
    uniform = torch.Generator().manual_seed(0)
    clips, gradient = torch.rand(3, 3, 6, 5, generator=uniform), torch.randn(3, 3, 6, 5, generator=uniform)
    bound = AdditiveL1(epsilon=9, step_size=0.05)
    one, other = (
        bound.step(clips, factor * gradient, [torch.Generator().manual_seed(n) for n in range(3)])
        for factor in (1.0, scale)
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, clips)


def test_the_lattice_of_an_l2_ratio_by_hand():
    """Ratios minus 1 have the length 0.15. Levels of 106.7 and 56.7 round to 107 and 57, and 0.07^2 + 0.14^2 > 0.15^2:
    one level less of the second one, of twice the ratio, is enough. A pixel at 0 stays there and counts for nothing."""
    clean, adversarial = torch.tensor([[100.0, 50.0, 0.0]]) / 255, torch.tensor([[106.7, 56.7, 3.0]]) / 255
    found = RatioL2(epsilon=0.15, step_size=1.5).quantize(adversarial, clean)
    assert (found * 255).round().tolist() == [[107, 56, 0]]


def test_black_pixels_do_not_count_in_the_projection_onto_the_printed_ball():
    """Ratios of 3 and 4 have length 5, twice the radius."""
    clean, far = torch.tensor([[0.2, 0.1, 0.0]]), torch.tensor([[0.6, 0.4, 0.3]])
    found = PrintedRatioL2(epsilon=1.5, step_size=1.5).project(far, clean)
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.2, 0.0]]))


def test_l1_moves_no_element_that_would_reach_or_leave_the_edge_of_the_box():
    """An element that would end at 0 or 1 does not move, as in the authors' code; fewer than two move then."""
    bound = AdditiveL1(epsilon=9, step_size=0.25, fewest=2, most=2)
    clips, gradient = torch.tensor([[0.75, 0.5, 0.25, 1.0]]), torch.tensor([[3.0, 1.0, -2.0, 4.0]])
    assert bound.step(clips, gradient, generators(1)).tolist() == [[0.75, 0.75, 0.25, 1.0]]
