"""Numerics that decide robustness: each attack right where a reference in float64 is, or refused in one sentence."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from pipeline_lib.attacks import (
    AdditiveL2,
    AdditiveLinf,
    Apgd,
    Ascent,
    LeastLikely,
    LogOdds,
    RatioL2,
    UniformNoise,
    Untargeted,
    craft,
)
from pipeline_lib.attacks.guards import keeping_input, require_precision, sound_clips
from pipeline_lib.attacks.losses import attacking, loss_and_gradient
from profiling import peak

CLIPS = torch.randint(40, 216, (40, 3, 2, 6, 6), generator=torch.Generator().manual_seed(0)) / 255
PGD = Ascent(perturbation=AdditiveLinf(epsilon=0.015, step_size=0.005), steps=5)
L2 = Ascent(perturbation=AdditiveL2(epsilon=0.3, step_size=0.12), steps=5)
RATIO_L2 = Ascent(perturbation=RatioL2(epsilon=0.7, step_size=1.8), steps=5)
CROSS_ENTROPY = Untargeted()


def plain_network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [nn.Flatten(), nn.Linear(216, 16), nn.ReLU(), nn.Linear(16, 5)]
    with torch.no_grad():
        # Each class for some clips.
        layers[1].bias.copy_(-layers[1].weight @ CLIPS.mean(0).flatten())
        hidden = layers[1](CLIPS.flatten(1)).relu()
        layers[3].bias.copy_(-layers[3].weight @ hidden.mean(0))
    return nn.Sequential(*layers).eval().requires_grad_(False)


class Scaled(nn.Module):
    """The same predictions, surer of them."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, clips: Tensor) -> Tensor:
        return self.factor * self.network(clips)


NETWORK = plain_network()
with torch.no_grad():
    LABELS = NETWORK(CLIPS).argmax(1)


def accuracy(network: nn.Module, clips: Tensor) -> float:
    return (network(clips).argmax(1) == LABELS).double().mean().item()


@pytest.mark.parametrize("attack", [L2, RATIO_L2], ids=["l2", "ratio l2"])
@pytest.mark.parametrize("factor", [1, 200, 1000])
def test_l2_steps_do_not_shrink_with_the_gradient(attack, factor):
    """As in float64, where no floor is near."""
    network, exact = Scaled(NETWORK, factor), Scaled(plain_network().double(), factor)
    reference = accuracy(exact, craft(exact, CLIPS.double(), LABELS, attack))
    assert reference < 0.1
    assert abs(accuracy(network, craft(network, CLIPS, LABELS, attack)) - reference) <= 1.5 / len(CLIPS)


def test_the_authors_floor_is_an_option():
    """With it a surer network of the same answers looks robust; where gradients are larger it changes no bit."""
    network, floor = Scaled(NETWORK, 1000), replace(L2, perturbation=replace(L2.perturbation, smallest_norm=1e-6))
    assert accuracy(network, craft(network, CLIPS, LABELS, floor)) > 0.4
    assert torch.equal(craft(NETWORK, CLIPS, LABELS, floor), craft(NETWORK, CLIPS, LABELS, L2))


def test_log_odds_are_cross_entropy_without_saturation():
    """Both have one order, so that every decision of APGD is the same; of sure networks only one has gradients."""
    logits = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    found = LogOdds().criterion(lambda clips: logits, CLIPS, torch.tensor([0]))(logits)
    true = logits.softmax(1)[0, 0]
    torch.testing.assert_close(found[0], ((1 - true) / true).log())
    sure = Scaled(NETWORK, 3000)
    odds, entropy = Apgd(inside=PGD, goal=LogOdds()), Apgd(inside=PGD, goal=CROSS_ENTROPY)
    same = [accuracy(NETWORK, craft(NETWORK, CLIPS, LABELS, attack)) for attack in (odds, entropy)]
    assert same[0] == same[1] < 0.5
    hidden = [accuracy(sure, craft(sure, CLIPS, LABELS, attack)) for attack in (odds, entropy)]
    assert hidden[0] <= same[0]
    assert hidden[1] > hidden[0] + 0.15


def test_a_network_in_float64_is_attacked_in_float64():
    """Its gradients reach where float32 has none left."""
    double, single = Scaled(plain_network().double(), 3000), Scaled(NETWORK, 3000)
    found = craft(double, CLIPS.double(), LABELS, PGD)
    assert found.dtype == torch.float64
    assert accuracy(single, craft(single, CLIPS, LABELS, PGD)) > accuracy(double, found) + 0.1


@pytest.mark.parametrize(
    ("network", "clips", "message"),
    [
        (plain_network().half(), CLIPS, "weights are torch.float16: attack network.float().*18.6 %"),
        (plain_network().bfloat16(), CLIPS, "weights are torch.bfloat16: attack network.float()"),
        (NETWORK, CLIPS.bfloat16(), "clips are torch.bfloat16, too coarse for a bound: give float32"),
        (NETWORK, CLIPS.double(), "clips are torch.float64 and the network's weights torch.float32"),
        (plain_network().double(), CLIPS, "clips are torch.float32 and the network's weights torch.float64"),
        (nn.Sequential(nn.Flatten(), nn.Linear(216, 1)), CLIPS, "the network returns one logit: return one per class"),
    ],
)
def test_what_no_attack_is_sound_on_is_refused(network, clips, message):
    with pytest.raises(ValueError, match=message):
        craft(network, clips, torch.zeros(40, dtype=torch.long), PGD)


def test_autocast_to_float16_around_it_is_refused():
    with (
        torch.autocast("cpu", torch.float16),
        pytest.raises(ValueError, match=r"inside autocast\(float16\): fp16 is refused"),
    ):
        craft(NETWORK, CLIPS, LABELS, PGD)


class Returning(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, clips: Tensor):
        return self.kind(NETWORK(clips))


@pytest.mark.parametrize(
    "kind", [lambda logits: (logits, logits), lambda logits: {"logits": logits}], ids=["tuple", "dict"]
)
def test_a_network_that_returns_more_than_logits_is_refused(kind):
    with pytest.raises(ValueError, match="the network returns a (tuple|dict): wrap it in a module"):
        craft(Returning(kind), CLIPS, LABELS, PGD)


def test_clips_that_require_a_gradient_cost_no_memory():
    clips = CLIPS.clone().requires_grad_()
    peaks = [
        peak(lambda steps=steps: craft(NETWORK, clips, LABELS, Ascent(perturbation=PGD.perturbation, steps=steps)))
        for steps in (3, 60)
    ]
    assert peaks[1] <= 1.05 * peaks[0]
    assert torch.equal(craft(NETWORK, clips, LABELS, PGD), craft(NETWORK, CLIPS, LABELS, PGD))
    assert clips.grad is None


def test_in_inference_mode_it_is_the_same_attack():
    expected = craft(NETWORK, CLIPS, LABELS, PGD)
    with torch.inference_mode():
        found = craft(NETWORK, 1 * CLIPS, 1 * LABELS, PGD)
        assert torch.equal(found, expected)
        with pytest.raises(ValueError, match="was made in inference_mode"):
            craft(plain_network(), CLIPS, LABELS, PGD)


def test_scripted_and_checkpointed_networks_are_attacked():
    expected = craft(NETWORK, CLIPS, LABELS, PGD)
    assert torch.equal(craft(torch.jit.script(plain_network()), CLIPS, LABELS, PGD), expected)

    class Checkpointed(nn.Module):
        def __init__(self, reentrant: bool) -> None:
            super().__init__()
            self.network, self.reentrant = plain_network(), reentrant

        def forward(self, clips: Tensor) -> Tensor:
            return checkpoint(self.network, clips, use_reentrant=self.reentrant)

    assert torch.equal(craft(Checkpointed(False), CLIPS, LABELS, PGD), expected)
    with pytest.raises(ValueError, match="use_reentrant=False"):
        craft(Checkpointed(True), CLIPS, LABELS, PGD)


class Detached(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return NETWORK(clips.detach())


class Learning(nn.Module):
    """Its logits have a gradient, of something else than the clips."""

    def forward(self, clips: Tensor) -> Tensor:
        return NETWORK(clips.detach()) * torch.ones(5, requires_grad=True)


@pytest.mark.parametrize("network", [Detached(), Learning()], ids=["none", "of another tensor"])
def test_a_network_without_a_gradient_is_refused_in_one_sentence(network):
    with pytest.raises(ValueError, match=r"no gradient to the clips: .* attack it by queries \(method square\)"):
        craft(network, CLIPS, LABELS, PGD)


def test_an_exported_network_is_refused_in_one_sentence():
    exported = torch.export.export(plain_network(), (CLIPS,)).module()
    with pytest.raises(ValueError, match="exported"):
        craft(exported, CLIPS, LABELS, PGD)


def test_a_pixel_outside_by_rounding_is_inside():
    clips = CLIPS.clone()
    clips[0, 0, 0, 0, 0], clips[1, 0, 0, 0, 0] = 1 + 1.2e-7, -1e-8
    found = craft(NETWORK, clips, LABELS, PGD)
    assert torch.equal(found, craft(NETWORK, clips.clamp(0, 1), LABELS, PGD))
    clips[0, 0, 0, 0, 0] = 1 + 1e-5
    with pytest.raises(ValueError, match=r"clips range from -9.99999994e-09 to 1.00001\d* *: attacks need"):
        craft(NETWORK, clips, LABELS, PGD)


@pytest.mark.parametrize("goal", [PGD.goal, LeastLikely()], ids=["untargeted", "least likely"])
def test_a_network_that_overwrites_its_input_is_attacked_on_copies(goal):
    class InPlace(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return NETWORK(clips.sub_(0.4).div_(0.2))

    class Normalizing(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return NETWORK((clips - 0.4) / 0.2)

    attack = Ascent(perturbation=PGD.perturbation, steps=3, goal=goal, start=UniformNoise(radius=8 / 255), keep="best")
    clips = CLIPS.clone()
    assert torch.equal(craft(InPlace(), clips, LABELS, attack), craft(Normalizing(), CLIPS, LABELS, attack))
    assert torch.equal(clips, CLIPS)


def test_copies_are_made_from_the_first_refusal_on():
    calls = []

    def overwriting(clips: Tensor) -> Tensor:
        calls.append(len(clips))
        return clips.sub_(0.4).flatten(1)

    kept = keeping_input(overwriting)
    for _ in range(3):
        assert torch.equal(kept(CLIPS.clone().requires_grad_()), (CLIPS - 0.4).flatten(1))
    assert len(calls) == 1 + 3


class Standardized(nn.Conv3d):
    """Weight standardization in the layer's own forward."""

    def forward(self, clips: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3, 4), keepdim=True)
        weight = weight / weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
        return self._conv_forward(clips, weight, self.bias)


def pruned() -> nn.Module:
    return prune.l1_unstructured(nn.Conv3d(3, 8, 3), "weight", amount=0.5)


STEMS = {
    "standardized": lambda: Standardized(3, 8, 3),
    "weight_norm": lambda: weight_norm(nn.Conv3d(3, 8, 3)),
    "old weight_norm": lambda: nn.utils.weight_norm(nn.Conv3d(3, 8, 3)),
    "spectral_norm": lambda: spectral_norm(nn.Conv3d(3, 8, 3)),
    "pruned": pruned,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("stem", STEMS)
def test_bf16_attacks_the_network_that_it_is_given(stem):
    """Its logits are those of plain autocast, and weights are left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(STEMS[stem](), nn.Flatten(), nn.Linear(512, 5)).eval()
    clips = torch.rand(2, 3, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    with attacking(layers, "bf16"), torch.autocast("cpu", torch.bfloat16):
        found = layers(clips)
        loss_and_gradient(lambda x: layers(x).float().sum(1), clips)
    with attacking(layers), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found, layers(clips))
    assert all(torch.equal(value, before[name]) for name, value in layers.state_dict().items())


@pytest.mark.parametrize(("value", "expected"), [(-5e-7, 0.0), (-1e-6, 0.0), (1 + 5e-7, 1.0), (1 + 1e-6, 1.0)])
def test_what_rounding_has_put_outside_of_the_box_is_put_back(value, expected):
    clips = CLIPS[:2].double()
    clips[0, 0, 0, 0, 0] = value
    assert sound_clips(clips)[0, 0, 0, 0, 0] == expected
    assert torch.equal(sound_clips(clips).flatten()[1:], clips.flatten()[1:])


def test_autocast_to_bfloat16_is_no_reason_to_refuse_a_network():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        require_precision(plain_network(), CLIPS)
    with torch.autocast("cpu", dtype=torch.float16), pytest.raises(ValueError, match="autocast"):
        require_precision(plain_network(), CLIPS)
