"""The attack loop on losses with known answers, against a literal PGD, and on a small network."""

import math
from typing import ClassVar

import pytest
import torch
from torch import nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import attacking, cross_entropy, divergence
from pipeline_lib.attacks.lp_perturbations import AdditiveL1, AdditiveL2, RatioL2
from pipeline_lib.attacks.perturbations import AdditiveLinf, RatioLinf
from pipeline_lib.attacks.regions import RandomRectangle
from pipeline_lib.attacks.starts import Constant, UniformNoise
from pipeline_lib.entries.building import build
from pipeline_lib.entries.methods import METHODS
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.randomness.generators import clip_generators

# The papers' settings for frames of 112 x 112 (MultAV, section 4).
BLACK_AND_WHITE = {"method": "additive_linf", "epsilon": 1.0, "step_size": 70 / 255}
ATTACKS = {
    "pgd": {
        "perturbation": {"method": "additive_linf", "epsilon": 4 / 255, "step_size": 1 / 255},
        "start": {"method": "uniform_noise", "radius": 4 / 255},
    },
    "roa": {
        "perturbation": BLACK_AND_WHITE,
        "region": {"method": "random_rectangle", "height": 30, "width": 30},
        "start": {"method": "constant", "value": 0.5},
    },
    "af": {
        "perturbation": BLACK_AND_WHITE,
        "region": {"method": "border", "width": 10},
        "start": {"method": "uniform_noise", "radius": 1.0},
    },
    "spa": {
        "perturbation": BLACK_AND_WHITE,
        "region": {"method": "random_pixels", "count": 100},
        "start": {"method": "constant", "value": 0.0},
    },
    "multav_linf": {"perturbation": {"method": "ratio_linf", "epsilon": 1.04, "step_size": 1.01}},
    "multav_af": {
        "perturbation": {"method": "ratio_linf", "epsilon": 3.55, "step_size": 1.7},
        "region": {"method": "border", "width": 10},
    },
    "pgd_l2": {
        "perturbation": {"method": "additive_l2", "epsilon": 8, "step_size": 1.0},
        "start": {"method": "uniform_box", "radius": 8},
    },
    "multav_l2": {"perturbation": {"method": "ratio_l2", "epsilon": 4, "step_size": 3.55}},
    "l1": {"perturbation": {"method": "additive_l1", "epsilon": 2.5, "step_size": 0.05}},
    "multav_roa": {
        "perturbation": {"method": "ratio_linf", "epsilon": 3.55, "step_size": 1.7},
        "region": {"method": "random_rectangle", "height": 30, "width": 30, "per": "video"},
    },
    "multav_spa": {
        "perturbation": {"method": "ratio_linf", "epsilon": 3.55, "step_size": 1.7, "zeros": "floor"},
        "region": {"method": "random_pixels", "count": 100, "replace": False},
        "start": {"method": "log_uniform", "ratio": 3.55},
    },
    "fgsm": {"perturbation": {"method": "additive_linf", "epsilon": 4 / 255, "step_size": 4 / 255}, "restarts": 1},
}
LABELS = torch.tensor([0, 1, 2, 3])


def attack(name: str, steps: int = 5) -> Ascent:
    return build(resolved({"method": "ascent", "steps": steps, **ATTACKS[name]}))


def resolved(entry):
    if not isinstance(entry, dict):
        return entry
    return {key: METHODS[value] if key == "method" else resolved(value) for key, value in entry.items()}


def random_clips(*shape: int, seed: int = 0) -> torch.Tensor:
    """Clips on the 8-bit lattice, with black and white pixels among them."""
    levels = torch.randint(-40, 296, shape, generator=torch.Generator().manual_seed(seed)).clamp(0, 255)
    return levels / 255


CLIPS = random_clips(4, 3, 2, 112, 112)
SMALL = random_clips(4, 3, 3, 6, 5)
WEIGHT = torch.randn(SMALL.shape[1:], generator=torch.Generator().manual_seed(1))
WEIGHT[:, :, 0] = 0


def linear(clips: torch.Tensor) -> torch.Tensor:
    return (clips * WEIGHT).flatten(1).sum(1)


def wavy(clips: torch.Tensor) -> torch.Tensor:
    """A loss whose gradient changes its sign from place to place, computed clip by clip."""
    return torch.stack([(40 * clip).sin().sum() for clip in clips])


def generators(n: int = 4, first: int = 0) -> list[torch.Generator]:
    return clip_generators(7, [f"video {i}" for i in range(first, first + n)])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResNet3D(depth=10, width=4, stages=2)(5).eval()


@pytest.mark.parametrize("steps", [1, 5])
def test_pgd_solves_a_linear_loss(steps):
    pgd = Ascent(perturbation=AdditiveLinf(epsilon=4 / 255, step_size=1 / 255), steps=steps)
    expected = (SMALL + min(steps, 4) / 255 * WEIGHT.sign()).clamp(0, 1)
    torch.testing.assert_close(pgd(linear, SMALL, generators()), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("steps", [1, 5])
def test_multav_solves_a_linear_loss(steps):
    multav = Ascent(perturbation=RatioLinf(epsilon=1.04, step_size=1.01), steps=steps)
    ratio = min(1.01**steps, 1.04)
    expected = (SMALL * ratio ** WEIGHT.sign()).clamp(0, 1)
    torch.testing.assert_close(multav(linear, SMALL, generators()), expected, rtol=1e-6, atol=0)


def test_a_random_start_ends_on_the_same_corner_of_a_linear_loss():
    """Eight steps of epsilon / 4 cross the whole set from anywhere."""
    perturbation, start = AdditiveLinf(epsilon=4 / 255, step_size=1 / 255), UniformNoise(radius=4 / 255)
    found = Ascent(perturbation=perturbation, start=start, steps=8)(linear, SMALL, generators())
    moving = WEIGHT.ne(0).expand_as(SMALL)
    torch.testing.assert_close(found[moving], (SMALL + 4 / 255 * WEIGHT.sign()).clamp(0, 1)[moving], rtol=0, atol=2e-7)


def test_a_constant_start_is_the_center_of_its_bound():
    perturbation = RatioLinf(epsilon=1.5, step_size=2.0)
    region = RandomRectangle(height=2, width=2)
    patch = Ascent(perturbation=perturbation, region=region, start=Constant(value=0.5), steps=2)
    found = patch(linear, SMALL, generators())
    inside = region.mask(SMALL, generators()).expand_as(SMALL)
    expected = (0.5 * 1.5 ** WEIGHT.sign()).expand_as(SMALL)
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-6, atol=0)
    assert patch.ratio_to_bound(patch.quantize(found, SMALL), SMALL).max() <= 1 + 1e-5


@pytest.mark.parametrize("start", [0.0, 4 / 255])
def test_pgd_is_literal_pgd_bit_for_bit(network, start):
    """The loop as torchattacks and advertorch write it, with a mean-reduced loss and the same noise."""
    clips, epsilon, alpha = CLIPS[..., :32, :32], 4 / 255, 1 / 255
    perturbation = AdditiveLinf(epsilon=epsilon, step_size=alpha)
    with attacking(network):
        ours = Ascent(perturbation=perturbation, start=UniformNoise(radius=start), steps=5)(
            cross_entropy(network, LABELS), clips, generators()
        )
    noise = torch.stack([torch.empty(clips.shape[1:]).uniform_(-start, start, generator=g) for g in generators()])
    adversarial = torch.clamp(clips + noise, min=0, max=1)
    for _ in range(5):
        adversarial.requires_grad = True
        cost = nn.CrossEntropyLoss()(network(adversarial), LABELS)
        gradient = torch.autograd.grad(cost, adversarial)[0]
        adversarial = adversarial.detach() + alpha * gradient.sign()
        delta = torch.clamp(adversarial - clips, min=-epsilon, max=epsilon)
        adversarial = torch.clamp(clips + delta, min=0, max=1).detach()
    assert torch.equal(ours, adversarial)


@pytest.mark.parametrize("name", ATTACKS)
def test_adversarial_clips_stay_in_their_set(name):
    ascent = attack(name)
    live = ascent(wavy, CLIPS, generators())
    stored = ascent.quantize(live, CLIPS)
    assert torch.equal(stored, (stored * 255).round() / 255)
    for found in (live, stored):
        assert found.shape == CLIPS.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert ascent.ratio_to_bound(found, CLIPS).max() <= 1 + 1e-5
        outside = ~ascent.region.mask(CLIPS, generators()).expand_as(CLIPS)
        assert torch.equal(found[outside], CLIPS[outside])
        assert not torch.equal(found, CLIPS)


@pytest.mark.parametrize("name", ["roa", "spa", "af", "pgd"])
def test_the_region_starts_as_it_should(name):
    seen, ascent = [], attack(name)
    ascent(recording(wavy, seen), CLIPS, generators())
    inside = ascent.region.mask(CLIPS, generators()).expand_as(CLIPS)
    assert torch.equal(seen[0][~inside], CLIPS[~inside])
    content = seen[0][inside]
    if name in ("roa", "spa"):
        assert content.eq({"roa": 0.5, "spa": 0.0}[name]).all()
    else:
        radius = {"af": 1.0, "pgd": 4 / 255}[name]
        noise = (content - CLIPS[inside])[(content > 0) & (content < 1)] / radius
        assert noise.abs().max() <= 1 + 1e-5
        assert noise.mean().abs() < 0.05
        assert noise.abs().max() > 0.99


def recording(loss, seen: list[torch.Tensor]):
    def recorded(clips: torch.Tensor) -> torch.Tensor:
        seen.append(clips.detach().clone())
        return loss(clips)

    return recorded


@pytest.mark.parametrize("name", ATTACKS)
def test_a_batch_is_its_clips_one_by_one(name):
    ascent = attack(name)
    together = ascent(wavy, CLIPS, generators())
    alone = [ascent(wavy, CLIPS[i : i + 1], generators(1, first=i)) for i in range(4)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_longer_attack_passes_through_a_shorter_one(name):
    seen: list[torch.Tensor] = []
    attack(name, steps=8)(recording(wavy, seen), CLIPS, generators())
    assert torch.equal(seen[3], attack(name, steps=3)(wavy, CLIPS, generators()))


@pytest.mark.parametrize("name", ATTACKS)
def test_no_iterate_leaves_the_region(name):
    seen, ascent = [], attack(name)
    ascent(recording(wavy, seen), CLIPS, generators())
    outside = ~ascent.region.mask(CLIPS, generators()).expand_as(CLIPS)
    assert len(seen) == 5
    assert all(torch.equal(clips[outside], CLIPS[outside]) for clips in seen)


class CountedIdentity(torch.autograd.Function):
    calls: ClassVar[list[int]] = [0, 0]

    @staticmethod
    def forward(ctx, clips):
        CountedIdentity.calls[0] += 1
        return clips.clone()

    @staticmethod
    def backward(ctx, gradient):
        CountedIdentity.calls[1] += 1
        return gradient


def test_a_step_costs_one_forward_and_one_backward_pass(monkeypatch):
    monkeypatch.setattr(CountedIdentity, "calls", [0, 0])
    attack("pgd", steps=5)(lambda clips: linear(CountedIdentity.apply(clips)), SMALL, generators())
    assert CountedIdentity.calls == [5, 5]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_loss_does_not_fall_over_a_batch(network, name):
    losses = []
    loss = cross_entropy(network, LABELS)
    with attacking(network):
        found = attack(name)(recording(loss, losses), CLIPS, generators())
        start, end = loss(losses[0]).mean(), loss(found).mean()
    assert end > start


def test_attacks_leave_the_network_as_it_was(network):
    """Statistics, training flags (mixed on purpose), requires_grad flags and gradients; also after an error."""
    network.train()
    network.bn1.eval()
    network.fc.bias.requires_grad_(False)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [part.training for part in network.modules()]
    flags = [parameter.requires_grad for parameter in network.parameters()]

    with attacking(network):
        assert not any(part.training for part in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        attack("pgd")(cross_entropy(network, LABELS), CLIPS, generators())
    with pytest.raises(KeyError), attacking(network):
        raise KeyError("stop")

    assert [part.training for part in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    network.requires_grad_(True).eval()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_image_is_a_clip_of_one_frame(name):
    images, ascent = CLIPS[:, :, 0], attack(name)
    found = ascent(wavy, images, generators())
    clips = images.unsqueeze(2)
    as_clips = ascent(wavy, clips, generators())
    assert torch.equal(found, as_clips.squeeze(2))
    assert torch.equal(ascent.quantize(found, images), ascent.quantize(as_clips, clips).squeeze(2))
    assert torch.equal(ascent.ratio_to_bound(found, images), ascent.ratio_to_bound(as_clips, clips))


def test_pgd_l2_is_its_closed_form_on_a_linear_loss():
    """Three steps of 0.5 along the gradient, cut to a length of 1.2; the box is far."""
    clips = torch.full_like(SMALL, 0.5)
    ascent = Ascent(perturbation=AdditiveL2(epsilon=1.2, step_size=0.5), steps=3)
    along = WEIGHT / WEIGHT.norm()
    assert (1.2 * along).abs().max() < 0.5
    torch.testing.assert_close(ascent(linear, clips, generators()), (clips + 1.2 * along), rtol=0, atol=1e-6)
    two = Ascent(perturbation=AdditiveL2(epsilon=1.2, step_size=0.5), steps=2)(linear, clips, generators())
    torch.testing.assert_close(two, (clips + along), rtol=0, atol=1e-6)


def test_pgd_l2_meets_the_box_before_the_ball():
    """The authors' order, written out on one clip with black and white pixels."""
    clip, ascent = SMALL[:1], Ascent(perturbation=AdditiveL2(epsilon=0.9, step_size=2.0), steps=1)
    delta = (clip + 2 * WEIGHT / WEIGHT.norm()).clamp(0, 1) - clip
    assert delta.norm() > 0.9
    expected = (clip + delta * 0.9 / delta.norm()).clamp(0, 1)
    torch.testing.assert_close(ascent(linear, clip, generators(1)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [9.0, 0.4])
def test_pgd_l1_is_its_closed_form_on_a_linear_loss(epsilon):
    """The same k elements in every step: alpha T in each of them, or an equal fraction of a bound that is less."""
    clips, k, alpha, steps = 0.3 + 0.4 * SMALL, 5, 0.04, 3
    l1 = AdditiveL1(epsilon=epsilon, step_size=alpha, fewest=k, most=k)
    found = Ascent(perturbation=l1, steps=steps)(linear, clips, generators()) - clips
    largest = WEIGHT.abs().flatten().topk(k).indices
    expected = torch.zeros(WEIGHT.numel())
    expected[largest] = min(alpha * steps, epsilon / k) * WEIGHT.flatten()[largest].sign()
    torch.testing.assert_close(found, expected.view_as(WEIGHT).expand_as(found), rtol=0, atol=1e-6)


def test_multav_l2_is_its_closed_form_on_a_linear_loss():
    clips = torch.full_like(SMALL, 0.5)
    ascent = Ascent(perturbation=RatioL2(epsilon=100, step_size=3.55), steps=1)
    expected = (0.5 * 3.55 ** (WEIGHT / WEIGHT.norm())).expand_as(clips)
    torch.testing.assert_close(ascent(linear, clips, generators()), expected, rtol=1e-5, atol=0)


def test_changes_beyond_the_region_are_outside_every_bound():
    ascent = attack("roa")
    found = ascent(wavy, CLIPS, generators())
    elsewhere = torch.where(ascent.region.mask(CLIPS, generators()), CLIPS, 1 - CLIPS)
    assert ascent.ratio_to_bound(found, CLIPS).max() <= 1
    assert ascent.ratio_to_bound(elsewhere, CLIPS).isinf().all()


def test_divergence_is_the_textbook_sum():
    p, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.3, 0.6]])
    found = divergence(lambda clips: q.log() + 3, p.log())(CLIPS[:1])
    torch.testing.assert_close(found, (p * (p / q).log()).sum(1))
    assert divergence(lambda clips: p.log(), p.log())(CLIPS[:1]).item() == pytest.approx(0, abs=1e-7)


def test_cross_entropy_is_per_clip_in_float32(network):
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    losses = cross_entropy(lambda clips: logits.bfloat16(), torch.tensor([0, 2]))(CLIPS[:2])
    expected = [-2 + math.log(math.e**2 + 2), math.log(math.e + 2)]
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, torch.tensor(expected))


def test_the_attack_works_where_gradients_are_off():
    with torch.no_grad():
        found = attack("pgd")(linear, SMALL, generators())
    assert torch.equal(found, attack("pgd")(linear, SMALL, generators()))
    assert not found.requires_grad


def test_clean_clips_are_not_written_to():
    before = CLIPS.clone()
    for name in ATTACKS:
        attack(name, steps=2)(wavy, CLIPS, generators())
    assert torch.equal(CLIPS, before)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_is_reported_and_not_taken_for_robustness(value):
    ascent, scale = attack("pgd", steps=2), torch.tensor([1.0, value, 1.0, 1.0])
    found = ascent(lambda clips: linear(clips) * scale, SMALL, generators())
    assert found.isnan().flatten(1).all(1).tolist() == [False, True, False, False]
    assert not found[[0, 2, 3]].isnan().any()
    with pytest.raises(PipelineError, match="a gradient that is not finite"):
        ascent.quantize(found, SMALL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: attack("pgd", steps=0), "steps is 0"),
        (lambda: UniformNoise(radius=-0.1), "radius is -0.1"),
        (lambda: Constant(value=128), "value is 128: it must be a fraction from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(PipelineError, match=message):
        make()


def test_every_clip_needs_its_generator():
    with pytest.raises(ValueError, match="1 generators for 4 clips"):
        attack("roa")(wavy, CLIPS, generators(1))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ATTACKS)
def test_a_gpu_gives_the_cpus_clips(name):
    """With generators on the CPU; on a linear loss, whose gradient has the same signs on both."""
    weight = torch.randn(CLIPS.shape[1:], generator=torch.Generator().manual_seed(2))
    on_cpu = attack(name)(lambda clips: (clips * weight).flatten(1).sum(1), CLIPS, generators())
    weight = weight.cuda()
    on_gpu = attack(name)(lambda clips: (clips * weight).flatten(1).sum(1), CLIPS.cuda(), generators())
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-6, atol=1e-7)
