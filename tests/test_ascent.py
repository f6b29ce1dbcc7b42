"""The attack loop on losses with known answers, against a literal PGD, and on a small network."""

import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from attack_cases import ATTACKS, CLIPS, LABELS, SMALL, attack, generators, linear, wavy
from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.attacks.perturbations import AdditiveLinf
from pipeline_lib.attacks.starts import Constant, UniformNoise
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.resnet import ResNet3D


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResNet3D(depth=10, width=4, stages=2)(5).eval()


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


def test_changes_beyond_the_region_are_outside_every_bound():
    ascent = attack("roa")
    found = ascent(wavy, CLIPS, generators())
    elsewhere = torch.where(ascent.region.mask(CLIPS, generators()), CLIPS, 1 - CLIPS)
    assert ascent.ratio_to_bound(found, CLIPS).max() <= 1
    assert ascent.ratio_to_bound(elsewhere, CLIPS).isinf().all()


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
    with pytest.raises(PipelineError, match="gradient of the attack is not finite"):
        ascent.quantize(found, SMALL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: attack("pgd", steps=0), "steps is 0"),
        (lambda: replace(attack("pgd"), precision="fp16"), "config: precision: fp16 is refused"),
        (lambda: replace(attack("pgd"), precision="tf32"), "precision is tf32: for all attacks of a run it is"),
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
