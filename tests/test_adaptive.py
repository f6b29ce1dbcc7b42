"""Adaptive attacks on the selection module: the joint loss, its gradient, and lambda = 0 as the plain attack."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tiny
from pipeline_lib.attacks import craft
from pipeline_lib.attacks.losses import attacking, cross_entropy
from pipeline_lib.defenses.adaptive import Adaptive
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.bn_selector import SelectedNetwork, Softmax
from pipeline_lib.networks.multi_batchnorm import branch_out, through
from pipeline_lib.randomness.generators import clip_generators

CLIPS = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1, 0])


@pytest.fixture(scope="module")
def network() -> SelectedNetwork:
    """Branches that differ, and a selection that is not sure."""
    torch.manual_seed(0)
    target = branch_out(build(tiny.NETWORK)(2), ["clean", "lp", "physical"])
    for name, values in [*target.named_parameters(), *target.named_buffers()]:
        if ".branches." in name and values.dtype.is_floating_point:
            values.data += 0.3 * torch.rand(values.shape)
    return SelectedNetwork(target, build(tiny.NETWORK | {"width": 3})(3), Softmax()).eval()


def adversarial(network: nn.Module, weight: float | None) -> torch.Tensor:
    loss = cross_entropy(network, LABELS)
    attack_loss = loss if weight is None else Adaptive(type="lp", weight=weight)(loss)
    with attacking(network):
        return build(tiny.PGD)(attack_loss, CLIPS, [torch.Generator().manual_seed(i) for i in range(4)])


def test_from_python_it_is_the_same_attack(network):
    attack, loss = build(tiny.PGD), Adaptive(type="lp", weight=2.0)
    with attacking(network):
        expected = attack(loss(cross_entropy(network, LABELS)), CLIPS, clip_generators(0, ["0", "1", "2", "3"]))
    assert torch.equal(craft(network, CLIPS, LABELS, attack, loss=loss), expected)
    assert not torch.equal(craft(network, CLIPS, LABELS, attack), expected)
    with pytest.raises(PipelineError, match="this network has no selection module"):
        craft(build(tiny.NETWORK)(2), CLIPS, LABELS, attack, loss=loss)


def input_gradient(loss, clips: torch.Tensor) -> torch.Tensor:
    leaf = clips.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf).sum(), leaf)[0]


def test_the_loss_is_the_sum_of_both_cross_entropies(network):
    attack_loss = Adaptive(type="physical", weight=2.5)(cross_entropy(network, LABELS))
    chosen = F.cross_entropy(network.selector(CLIPS), torch.full((4,), 2), reduction="none")
    expected = F.cross_entropy(network(CLIPS), LABELS, reduction="none") + 2.5 * chosen
    torch.testing.assert_close(attack_loss(CLIPS), expected)


def test_the_gradient_is_that_of_both_losses(network):
    def selection_loss(clips):
        return F.cross_entropy(network.selector(clips), torch.full((4,), 1), reduction="none")

    classes = cross_entropy(network, LABELS)
    expected = input_gradient(classes, CLIPS) + 3 * input_gradient(selection_loss, CLIPS)
    found = input_gradient(Adaptive(type="lp", weight=3)(classes), CLIPS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_lambda_zero_is_the_plain_attack_bit_for_bit(network):
    assert torch.equal(adversarial(network, 0), adversarial(network, None))


def test_a_larger_lambda_misleads_the_selection_more(network):
    def mean_weight_of_lp(weight):
        return network.selector(adversarial(network, weight)).softmax(1)[:, 1].mean().item()

    assert mean_weight_of_lp(100) < mean_weight_of_lp(1) < mean_weight_of_lp(0)


def test_both_losses_share_one_forward_pass(network):
    passes = []
    hooks = [part.register_forward_hook(lambda *_: passes.append(1)) for part in (network.selector, network.target)]
    Adaptive(type="lp")(cross_entropy(network, LABELS))(CLIPS)
    for hook in hooks:
        hook.remove()
    assert len(passes) == 2


def test_a_network_that_does_not_select_cannot_be_attacked_so(network):
    for model in (network.target, network):
        with pytest.raises(PipelineError, match="has no selection module"):
            Adaptive(type="lp")(cross_entropy(through(model, "lp"), LABELS))(CLIPS)
    with pytest.raises(PipelineError, match=r"type is 'l2': the network has the branches \['clean', 'lp', 'phys"):
        Adaptive(type="l2")(cross_entropy(network, LABELS))(CLIPS)
    with pytest.raises(PipelineError, match="weight is -1"):
        Adaptive(type="lp", weight=-1)
