"""Norm balls: their edge belongs to them, and each clip of a batch has its own."""

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2, PrintedRatioL2, RatioL2
from pipeline_lib.attacks.norms import (
    SLACK,
    levels_inside,
    of_clip,
    onto_l1_ball,
    onto_l1_ball_in_box,
    onto_l2_ball,
    over_mean,
    unit,
)
from pipeline_lib.attacks.perturbations import AdditiveLinf

CLEAN = torch.full((1, 1, 1, 2), 100 / 255)


@pytest.mark.parametrize("sides", [(3, 4, 5), (8, 6, 10), (5, 12, 13), (20, 21, 29), (0, 1, 1), (65, 72, 97)])
def test_a_change_as_long_as_the_bound_stays_as_it_is_on_the_lattice(sides):
    """In grey levels: no rounding of the bound's own square takes a level from it, and one more is too many."""
    first, second, length = sides
    on_the_edge = CLEAN + torch.tensor([first, -second]) / 255
    one_more = CLEAN + torch.tensor([first + 1, -second]) / 255
    for bound in (
        AdditiveL2(epsilon=length / 255, step_size=1.0),
        AdditiveL1(epsilon=(first + second) / 255, step_size=1.0),
    ):
        assert torch.equal((bound.quantize(on_the_edge, CLEAN) * 255).round(), (on_the_edge * 255).round())
        assert not torch.equal((bound.quantize(one_more, CLEAN) * 255).round(), (one_more * 255).round())
        assert bound.ratio_to_bound(bound.quantize(one_more, CLEAN), CLEAN) <= 1 + 1e-6


def test_the_cheapest_of_the_elements_goes_back_where_weights_differ():
    """Three elements are two levels away, which weighs 2 + 4 + 8. A level back costs each the same distance and saves
    1, 2 or 4: the heaviest goes first, and no more of them than the bound asks for."""
    clean = torch.full((1, 3), 100 / 255)
    weight = torch.tensor([[1.0, 2.0, 4.0]])
    found = levels_inside(clean + 2 / 255, clean, weight, power=1, limit=8.0, dims=(1,))
    assert ((found - clean) * 255).round().tolist() == [[2, 1, 1]]
    found = levels_inside(clean + 2 / 255, clean, weight, power=1, limit=10.0, dims=(1,))
    assert ((found - clean) * 255).round().tolist() == [[2, 2, 1]]
    found = levels_inside(clean + 2 / 255, clean, weight, power=1, limit=14 / (1 + SLACK), dims=(1,))
    assert ((found - clean) * 255).round().tolist() == [[2, 2, 2]]  # as far as the slack reaches


def test_clips_inside_a_ball_stay_and_others_are_on_its_edge():
    delta = torch.tensor([[0.0, 0.0], [0.3, -0.4], [3.0, -4.0]])
    l2, l1 = onto_l2_ball(delta, 1.0, of_clip(delta)), onto_l1_ball(delta, 1.0)
    assert torch.equal(l2[:2], delta[:2])
    assert torch.equal(l1[:2], delta[:2])
    torch.testing.assert_close(l2[2], torch.tensor([0.6, -0.8]))
    torch.testing.assert_close(l1[2], torch.tensor([0.0, -1.0]))
    rounded = torch.tensor([[1.0, 2.0**-25]])  # its length is 1 in float32
    assert torch.equal(onto_l1_ball(rounded, 1.0), rounded)
    assert onto_l1_ball(torch.tensor([[-3.0]]), 1.0).tolist() == [[-1.0]]


def fitted(wanted: list[float], center: list[float], weight: list[float], power: int, limit: float) -> list[float]:
    """Literally: from the nearest levels, one level back where it costs least squared distance for what it saves."""
    levels = [float(round(value)) for value in wanted]

    def used() -> float:
        return sum(w * abs(x - c) ** power for x, c, w in zip(levels, center, weight, strict=True))

    def price(index: int) -> float:
        value, level = wanted[index], levels[index]
        back = level - 1 if level > center[index] else level + 1
        away = abs(level - center[index])
        saved = weight[index] * (away**power - abs(back - center[index]) ** power)
        return ((back - value) ** 2 - (level - value) ** 2) / saved

    for index in sorted((i for i in range(len(levels)) if levels[i] != center[i]), key=price):
        if used() <= limit:
            break
        levels[index] += 1 if levels[index] < center[index] else -1
    return levels


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_what_costs_least_for_what_it_saves_goes_back_first(power, seed):
    """Weights of all sizes, changes of some levels, and a bound that takes part of them."""
    source = torch.Generator().manual_seed(seed)
    center = torch.randint(50, 200, (6,), generator=source).double()
    wanted = center + 6 * torch.rand(6, generator=source, dtype=torch.float64) - 3
    weight = 4 ** (2 * torch.rand(6, generator=source, dtype=torch.float64) - 1.5)
    limit = (weight * (wanted - center).abs() ** power).sum().item()
    found = levels_inside((wanted / 255)[None], (center / 255)[None], weight[None], power=power, limit=limit, dims=(1,))
    expected = fitted(wanted.tolist(), center.tolist(), weight.tolist(), power, limit)
    assert (found[0] * 255).round().tolist() == expected


def test_the_printed_ratio_on_the_lattice_by_hand():
    """(l / 100)^2 + (m / 50)^2 <= 4 for levels near 141.4 and 70.7, on the bound: 141 and 71 are outside, and 71 is the
    one that goes back. A pixel at 0 stays there, whatever the attack made of it, and counts for nothing."""
    bound = PrintedRatioL2(epsilon=1.0, step_size=1.5)
    clean = torch.tensor([[100.0, 50.0, 0.0]]) / 255
    adversarial = torch.tensor([[100 * 2**0.5, 50 * 2**0.5, 3.0]]) / 255
    assert (bound.quantize(adversarial, clean) * 255).round().tolist() == [[141, 70, 0]]
    assert bound.ratio_to_bound(torch.zeros_like(clean), clean).tolist() == [0.0]
    lit = adversarial * torch.tensor([1.0, 1.0, 0.0])
    assert bound.ratio_to_bound(lit, clean).item() == pytest.approx(1.0)


def test_a_vector_over_its_length_or_its_mean_and_none_for_zero():
    vectors = torch.tensor([[3.0, -4.0], [0.0, 0.0], [3e-30, 4e-30], [1.0, 1.0]])
    torch.testing.assert_close(unit(vectors, [1]), torch.tensor([[0.6, -0.8], [0, 0], [0.6, 0.8], [0.5**0.5] * 2]))
    torch.testing.assert_close(over_mean(vectors[:2]), torch.tensor([[6 / 7, -8 / 7], [0, 0]]))
    smallest = torch.tensor([[0.0, -(2.0**-149), 0.0, 0.0]])  # its mean is rounded to 0
    assert over_mean(smallest).sign().tolist() == [[0, -1, 0, 0]]


def test_the_l1_ball_in_the_box_of_radius_one_by_hand():
    """Exact in binary: inside of the ball, on its edge, shrunk by half of the largest element, shrunk and stopped at
    the box, and stopped at the box only."""
    tiny = 2.0**-10
    delta = torch.tensor([[tiny, 0.5, -0.25], [1 - tiny, -tiny, 0], [2 - 2 * tiny, 1, tiny - 1], [2, 2, 0], [0.5] * 3])
    delta[4, 1] = -0.5
    center = torch.tensor([[0.5, 0.5, 0.5], [0, 1, 0], [0, 0, 1], [0.875, 0, 0], [0.25, 0.25, 0.75]])
    expected = delta.clone()
    expected[2:] = torch.tensor([[1 - tiny, tiny, 0], [0.125, 0.875, 0], [0.5, -0.25, 0.25]])
    assert torch.equal(onto_l1_ball_in_box(delta, center, 1.0), expected)


def test_a_black_pixel_that_may_grow_is_measured_in_units_of_the_darkest():
    clean, bound = torch.zeros(1, 1, 1, 2), RatioL2(epsilon=10, step_size=2.0, zeros="floor")
    changed = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2) / 255
    assert bound.ratio_to_bound(changed, clean).tolist() == pytest.approx([0.5])


@pytest.mark.parametrize(("momentum", "end"), [(0.5, 0.5), (2.0, 0.52)])
def test_momentum_is_the_part_of_the_last_direction_that_is_kept(momentum, end):
    """The first step goes past the maximum: the second one turns where less than a whole direction is kept."""
    attack = Ascent(perturbation=AdditiveLinf(epsilon=1, step_size=0.01), steps=2, momentum=momentum)

    def peak(clips: torch.Tensor) -> torch.Tensor:
        return -(clips - 0.505).square().flatten(1).sum(1)

    made = attack(peak, torch.full((1, 3, 1, 2, 2), 0.5), [torch.Generator()])
    torch.testing.assert_close(made, torch.full_like(made, end))


def test_the_projection_onto_an_l1_ball_in_a_box_is_the_nearest_point():
    source = torch.Generator().manual_seed(0)
    delta = torch.randn(4, 3, 2, 8, 8, generator=source, dtype=torch.float64)
    ample = torch.full_like(delta, 0.5)
    small = 0.01 * delta
    torch.testing.assert_close(onto_l1_ball_in_box(small, ample, 1.0), onto_l1_ball(small, 1.0))
    center = torch.randint(0, 256, delta.shape, generator=source).double() / 255
    found = onto_l1_ball_in_box(delta, center, 5.0)
    moved = center + found
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-12
    torch.testing.assert_close(found.abs().flatten(1).sum(1), torch.full((4,), 5.0, dtype=torch.float64))
    # Optimal: no other point of the set is in the direction of what was cut off (a variational inequality).
    for seed in range(20):
        other = torch.rand(delta.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - center
        other = other * (5.0 / other.abs().flatten(1).sum(1)).clamp_max(1).view(-1, 1, 1, 1, 1)
        assert (((delta - found) * (other - found)).flatten(1).sum(1) < 1e-6).all()


def test_a_unit_vector_is_exact_at_every_scale():
    reference = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = reference / reference.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    for size in (1e-37, 1e-20, 1.0, 1e30):
        torch.testing.assert_close(unit((size * reference).float(), (1, 2, 3)).double(), expected, rtol=1e-5, atol=1e-6)
    assert unit(torch.zeros(2, 3), (1,)).tolist() == torch.zeros(2, 3).tolist()
