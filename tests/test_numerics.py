"""Numbers that once went wrong, each against the same attack in float64: float32 takes the same clips, or refuses."""

import pytest
import torch
from torch import Tensor, nn

from pipeline_lib.attacks import DLR, Ascent, LogOdds, Margin, craft
from pipeline_lib.attacks.losses import attacking
from test_guards import CLIPS, L2, LABELS, NETWORK, PGD, RATIO_L2, STEMS, Scaled, accuracy, plain_network

EXACT = plain_network().double()
GOALS = {"log-odds": LogOdds(), "margin": Margin(), "DLR": DLR()}


def exact(attack, factor: float = 1) -> Tensor:
    """The attack in float64, where nothing underflows, on the network with its logits multiplied."""
    return craft(Scaled(EXACT, factor), CLIPS.double(), LABELS, attack)


def assert_equal_attacks(found: Tensor, reference: Tensor) -> None:
    """The same accuracy but for one clip, and the same pixels but for a few whose gradient is near zero."""
    assert abs(accuracy(NETWORK, found.float()) - accuracy(EXACT, reference)) <= 1.5 / len(CLIPS)
    assert ((found.double() - reference).abs() > 1e-5).double().mean() < 0.02


@pytest.mark.parametrize("attack", [L2, RATIO_L2], ids=["l2", "ratio l2"])
def test_l2_with_ten_times_the_logits(attack):
    """Robust accuracy is that of the network itself: predictions are the same."""
    assert_equal_attacks(craft(Scaled(NETWORK, 10), CLIPS, LABELS, attack), exact(attack, 10))
    assert accuracy(EXACT, exact(attack, 10)) == accuracy(EXACT, exact(attack)) < 0.1


@pytest.mark.parametrize("goal", GOALS)
def test_losses_of_margins_with_three_thousand_times_the_logits(goal):
    """Where cross-entropy in float32 has no gradients."""
    attack = Ascent(perturbation=PGD.perturbation, steps=5, goal=GOALS[goal])
    assert_equal_attacks(craft(Scaled(NETWORK, 3000), CLIPS, LABELS, attack), exact(attack, 3000))


def test_a_network_in_float64_with_three_thousand_times_the_logits():
    """Cross-entropy in float64 has gradients there: at least as strong as on the logits themselves."""
    found = exact(PGD, 3000)
    assert found.dtype == torch.float64
    assert accuracy(EXACT, found) <= accuracy(EXACT, exact(PGD)) < 0.2


@pytest.mark.parametrize("lower", [torch.float16, torch.bfloat16])
def test_what_is_refused_in_a_low_precision_is_attacked_in_float64(lower):
    for network, clips in ((plain_network().to(lower), CLIPS), (plain_network().to(lower), CLIPS.to(lower))):
        with pytest.raises(ValueError, match=str(lower)):
            craft(network, clips, LABELS, PGD)
    assert_equal_attacks(craft(NETWORK, CLIPS, LABELS, PGD), exact(PGD))


class InPlace(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return NETWORK(clips.sub_(0.4).add_(0.4))


def outside_by_rounding() -> Tensor:
    """White pixels above 1 by a rounding, which are not the attack's work."""
    clips = CLIPS.clone()
    clips[:, 0, 0, 0, 0] = 1 + 1.2e-7
    return clips


NETWORKS = {"in place": InPlace(), "scripted": torch.jit.script(plain_network())}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_unusual_kinds(name):
    assert_equal_attacks(craft(NETWORKS[name], CLIPS.clone(), LABELS, PGD), exact(PGD))


def test_clips_that_require_a_gradient_and_inference_mode():
    assert_equal_attacks(craft(NETWORK, CLIPS.clone().requires_grad_(), LABELS, PGD).detach(), exact(PGD))
    with torch.inference_mode():
        found = craft(NETWORK, 1 * CLIPS, 1 * LABELS, PGD)
    assert_equal_attacks(found.clone(), exact(PGD))


def test_pixels_outside_by_rounding():
    clips = outside_by_rounding()
    reference = craft(EXACT, clips.double().clamp(0, 1), LABELS, PGD)
    assert_equal_attacks(craft(NETWORK, clips, LABELS, PGD), reference)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_bf16_attacks_the_network_of_float64_but_for_its_rounding(stem):
    """Stems that compute their weight: rewritten as one that only multiplies by it, they were another network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(STEMS[stem](), nn.Flatten(), nn.Linear(512, 5)).eval()
    clips = torch.rand(4, 3, 3, 10, 10, generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), attacking(layers, "bf16"), torch.autocast("cpu", torch.bfloat16):
        found = layers(clips).double()
    with torch.no_grad():
        reference = layers.double()(clips.double())
    assert ((found - reference).abs() < 0.02 * reference.abs().amax()).all()
