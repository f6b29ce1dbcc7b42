"""Multi steepest descent against a literal search over its choices, and the sets that its clips end in."""

import math

import pytest
import torch

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.regions import Border, RandomRectangle
from pipeline_lib.attacks.starts import Constant, UniformNoise
from pipeline_lib.attacks.steepest import Steepest
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.randint(-40, 296, (4, 3, 2, 8, 7), generator=torch.Generator().manual_seed(0)).clamp(0, 255) / 255
WEIGHT = torch.randn(CLIPS.shape, generator=torch.Generator().manual_seed(1))
# Clips of other slopes choose other sets: few large elements favor l1, equal ones l-inf.
WEIGHT[0] = WEIGHT[0].sign()
WEIGHT[1] = WEIGHT[1] ** 5
LINF = Ascent(perturbation=AdditiveLinf(epsilon=6 / 255, step_size=3 / 255), steps=1)
L2 = Ascent(perturbation=AdditiveL2(epsilon=0.5, step_size=0.2), steps=1)
L1 = Ascent(perturbation=AdditiveL1(epsilon=2.0, step_size=0.1, fewest=5, most=5), steps=1)
ROA = Ascent(
    perturbation=AdditiveLinf(epsilon=1.0, step_size=70 / 255),
    region=RandomRectangle(height=3, width=3),
    start=Constant(value=0.5),
    steps=1,
)
AF = Ascent(perturbation=AdditiveLinf(epsilon=1.0, step_size=0.3), region=Border(width=1), steps=1)
CHOICES = {"lp": [LINF, L2, L1], "linf and roa": [LINF, ROA], "regions": [ROA, AF], "all": [AF, LINF, L1, ROA, L2]}


def generators(n: int = 4) -> list[torch.Generator]:
    return clip_generators(3, [f"video {i}" for i in range(n)])


def linear(clips: torch.Tensor) -> torch.Tensor:
    return (clips * WEIGHT[: len(clips)].reshape(clips.shape)).flatten(1).sum(1)


def wavy(clips: torch.Tensor) -> torch.Tensor:
    """A loss of many maxima, so that the best iterate need not be the last."""
    return torch.stack([(40 * clip).sin().sum() for clip in clips])


def shrunk(delta: torch.Tensor, radius: float) -> torch.Tensor:
    """Onto the l1 ball: the threshold by bisection."""
    low, high = 0.0, delta.abs().max().item()
    for _ in range(50 * (delta.abs().sum().item() > radius)):
        middle = (low + high) / 2
        low, high = (middle, high) if (delta.abs() - middle).clamp_min(0).sum() > radius else (low, middle)
    return delta.sign() * (delta.abs() - low).clamp_min(0)


def literal(loss, clip: torch.Tensor, number: int, steps: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """MSD with l-inf, l2 and l1 on one clip, as the paper writes it: (best, last, choices)."""
    delta, best, best_loss, choices = torch.zeros_like(clip), None, -math.inf, []
    for _ in range(steps):
        at = (clip + delta).requires_grad_()
        gradient = torch.autograd.grad(loss(at, number), at)[0]
        linf = (delta + 3 / 255 * gradient.sign()).clamp(-6 / 255, 6 / 255)
        l2 = (clip + delta + 0.2 * gradient / gradient.norm()).clamp(0, 1) - clip
        l2 = l2 * min(1, 0.5 / l2.norm().item())
        moved = clip + delta
        blocked = ((gradient > 0) & (moved >= 0.9)) | ((gradient < 0) & (moved <= 0.1))
        largest = torch.where(blocked, 0, gradient.abs()).flatten().argsort(descending=True)[:5]
        l1 = delta.clone().flatten()
        l1[largest] += 0.1 * gradient.flatten()[largest].sign()
        l1 = shrunk(l1, 2.0)
        candidates = [(clip + d.view_as(clip)).clamp(0, 1) for d in (linf, l2, l1)]
        losses = [loss(candidate, number).item() for candidate in candidates]
        choices.append(losses.index(max(losses)))
        delta = candidates[choices[-1]] - clip
        if max(losses) > best_loss:
            best, best_loss = candidates[choices[-1]], max(losses)
    return best, clip + delta, choices


ONE_CLIP = {"linear": lambda clip, i: (clip * WEIGHT[i]).sum(), "wavy": lambda clip, i: (40 * clip).sin().sum()}


@pytest.mark.parametrize("name", ONE_CLIP)
def test_each_clip_takes_the_steepest_choice(name):
    batch = {"linear": linear, "wavy": wavy}[name]
    expected = [literal(ONE_CLIP[name], clip, i, steps=4) for i, clip in enumerate(CLIPS)]
    for keep, index in (("best", 0), ("last", 1)):
        found = Steepest(attacks=CHOICES["lp"], steps=4, keep=keep)(batch, CLIPS, generators())
        torch.testing.assert_close(found, torch.stack([row[index] for row in expected]), rtol=0, atol=2e-6)
    if name == "linear":
        assert len({choice for row in expected for choice in row[2]}) == 3


@pytest.mark.parametrize("keep", ["best", "last"])
def test_one_choice_is_plain_ascent_on_a_loss_that_rises(keep):
    plain = Ascent(perturbation=LINF.perturbation, steps=2)(linear, CLIPS, generators())
    assert torch.equal(Steepest(attacks=[LINF], steps=2, keep=keep)(linear, CLIPS, generators()), plain)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("loss", [linear, wavy])
def test_clips_end_inside_a_set_live_and_stored(name, loss):
    attack = Steepest(attacks=CHOICES[name], steps=4)
    live = attack(loss, CLIPS, generators())
    stored = attack.quantize(live, CLIPS)
    assert torch.equal(stored, (stored * 255).round() / 255)
    for found in (live, stored):
        assert found.min() >= 0
        assert found.max() <= 1
        assert attack.ratio_to_bound(found, CLIPS).max() <= 1 + 1e-5
        ratios = torch.stack([one.ratio_to_bound(found, CLIPS) for one in attack.attacks])
        assert torch.equal(attack.ratio_to_bound(found, CLIPS), ratios.amin(0))
    assert not torch.equal(live, CLIPS)


def test_a_clip_between_the_sets_is_outside():
    both = ROA(linear, CLIPS, generators())
    both[:, :, 0, :2] = 1 - CLIPS[:, :, 0, :2]
    assert Steepest(attacks=[LINF, ROA], steps=1).ratio_to_bound(both, CLIPS).min() > 1


def test_the_best_is_never_below_the_last_and_rises_with_the_steps():
    """With steps that leap over maxima."""
    far = [Ascent(perturbation=AdditiveLinf(epsilon=0.2, step_size=0.08), steps=1), L1]
    best = [wavy(Steepest(attacks=far, steps=t)(wavy, CLIPS, generators())) for t in (1, 3, 9)]
    last = wavy(Steepest(attacks=far, steps=9, keep="last")(wavy, CLIPS, generators()))
    assert (best[0] <= best[1]).all()
    assert (best[1] <= best[2]).all()
    assert (best[2] >= last).all()
    assert (best[2] > last).any()


@pytest.mark.parametrize("name", CHOICES)
def test_a_batch_is_its_clips_one_by_one_and_an_image_a_clip_of_one_frame(name):
    attack = Steepest(attacks=CHOICES[name], steps=3)
    together = attack(wavy, CLIPS, generators())
    alone = [attack(wavy, CLIPS[i : i + 1], [g]) for i, g in enumerate(generators())]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)
    images = CLIPS[:, :, 0]
    found, clips = attack(wavy, images, generators()), attack(wavy, images[:, :, None], generators())
    assert torch.equal(found, clips[:, :, 0])
    assert torch.equal(attack.quantize(found, images), attack.quantize(clips, images[:, :, None])[:, :, 0])


def test_a_step_takes_one_gradient_and_tries_each_choice_once():
    calls = []

    def counted(clips):
        calls.append(clips.requires_grad)
        return linear(clips)

    Steepest(attacks=CHOICES["lp"], steps=2)(counted, CLIPS, generators())
    assert calls == [True, False, False, False] * 2


def test_starts_count_for_their_center_only():
    noisy = Ascent(perturbation=LINF.perturbation, start=UniformNoise(radius=4 / 255), steps=1)
    seen = []

    def recorded(clips):
        seen.append(clips.detach().clone())
        return linear(clips)

    Steepest(attacks=[noisy, ROA], steps=1)(recorded, CLIPS, generators())
    assert torch.equal(seen[0], CLIPS)


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_what_is_not_finite_is_reported_and_not_taken_for_robustness(value, keep):
    attack, scale = Steepest(attacks=CHOICES["lp"], steps=2, keep=keep), torch.tensor([1.0, value, 1.0, 1.0])
    whole = attack(linear, CLIPS, generators())
    found = attack(lambda clips: linear(clips) * scale, CLIPS, generators())
    assert found.isnan().flatten(1).all(1).tolist() == [False, True, False, False]
    assert torch.equal(found[[0, 2, 3]], whole[[0, 2, 3]])
    with pytest.raises(PipelineError, match="gradient of the attack is not finite"):
        attack.quantize(found, CLIPS)


def test_a_loss_that_overflows_at_the_last_candidates_is_reported_too():
    """The gradient at the clean clip is finite."""

    def cliff(clips):
        return linear(clips) / (clips == CLIPS).flatten(1).all(1)

    assert Steepest(attacks=[LINF], steps=1)(cliff, CLIPS, generators()).isnan().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Steepest(attacks=[LINF], steps=0), "steps is 0"),
        (lambda: Steepest(attacks=[], steps=1), "attacks is empty"),
        (lambda: Steepest(attacks=[LINF, wavy], steps=1), r"attacks\[1\] is a function: steepest needs .* ascent"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_every_clip_needs_its_generator():
    with pytest.raises(ValueError, match="1 generators for 4 clips"):
        Steepest(attacks=[LINF], steps=1)(linear, CLIPS, generators(1))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_of_equal_losses_the_best_is_the_first(keep):
    """A loss that is 0 everywhere, with a gradient."""

    def level(clips):
        return linear(clips) - linear(clips).detach()

    first, third = (Steepest(attacks=[L2], steps=t, keep="last")(level, CLIPS, generators()) for t in (1, 3))
    found = Steepest(attacks=[L2], steps=3, keep=keep)(level, CLIPS, generators())
    assert torch.equal(found, first if keep == "best" else third)
    assert not torch.equal(first, third)
