"""MultiBN's mixture of branches: the sum of its branches, BatchNorm where it should be, statistics by fractions."""

import copy

import pytest
import torch
from torch import nn

from pipeline_lib.networks.bn_selector import (
    GumbelSoftmax,
    Mixture,
    SelectedNetwork,
    Softmax,
    choosing,
    gumbel_noise,
    network_for_weights,
    record_selections,
)
from pipeline_lib.networks.multi_batchnorm import Groups, MultiBatchNorm, branch_out, load_initial, routed, through
from pipeline_lib.networks.resnet import ResNet3D
from pipeline_lib.randomness.generators import clip_generators

RANDOM = torch.Generator().manual_seed(0)
FEATURES = torch.randn(6, 2, 3, 4, 4, generator=RANDOM, dtype=torch.float64)
TYPES = torch.tensor([0, 0, 1, 1, 2, 2])
FRACTIONS = nn.functional.one_hot(TYPES, 3).double()
WEIGHTS = torch.rand(6, 3, generator=RANDOM, dtype=torch.float64).softmax(1)
BRANCHES = ["clean", "lp", "physical"]


def norms(train: bool, dimensions: int = 3) -> MultiBatchNorm:
    """Three branches with parameters and statistics of their own."""
    kind = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions]
    multi = MultiBatchNorm(kind(2).double(), 3)
    for values in (*multi.parameters(), *(b for b in multi.buffers() if b.is_floating_point())):
        with torch.no_grad():
            values.uniform_(0.5, 1.5, generator=RANDOM)
    return multi.train(train)


def mixed(multi: MultiBatchNorm, weights: torch.Tensor, fractions: torch.Tensor | None, features=FEATURES):
    with routed(Mixture(weights, fractions)):
        return multi(features)


def selected(seed: int = 0) -> SelectedNetwork:
    def network(classes: int) -> nn.Module:
        return ResNet3D(depth=10, width=4, stem_kernel=3, stem_pool=False, stages=2)(classes)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SelectedNetwork(branch_out(network(5), BRANCHES), network(3), Softmax())


def test_a_temperature_divides_the_logits_of_the_selection():
    logits = torch.tensor([[2.0, 0.0, -4.0]])
    torch.testing.assert_close(Softmax(temperature=2.0)(logits), torch.tensor([[1.0, 0.0, -2.0]]).softmax(1))


def test_the_affine_is_the_weighted_sum_of_the_branches():
    multi = norms(train=False)
    parts = torch.stack([branch(FEATURES) for branch in multi.branches])
    expected = torch.einsum("nk,kncthw->ncthw", WEIGHTS, parts)
    torch.testing.assert_close(mixed(multi, WEIGHTS, None), expected)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_one_branch_is_batchnorm_with_gradients_and_statistics(train, dimensions):
    features = (FEATURES if dimensions == 3 else FEATURES[:, :, 0]).clone().requires_grad_()
    multi = norms(train, dimensions)
    plain, one = copy.deepcopy(multi.branches[1]), torch.tensor([[0.0, 1.0, 0.0]]).double().repeat(6, 1)
    ours, theirs = mixed(multi, one, one, features), plain(features)
    torch.testing.assert_close(ours, theirs)
    probe = torch.randn(ours.shape, generator=RANDOM, dtype=torch.float64)
    for mine, other in zip(
        torch.autograd.grad((ours * probe).sum(), [features, *multi.branches[1].parameters()]),
        torch.autograd.grad((theirs * probe).sum(), [features, *plain.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(dict(multi.branches[1].state_dict()), dict(plain.state_dict()))


def test_one_clip_with_one_channel_and_two_pixels_in_the_only_branch_is_batchnorm():
    features, one = FEATURES[:1, :1, :1, :1, :2], torch.ones(1, 1).double()
    plain = nn.BatchNorm3d(1).double()
    multi = MultiBatchNorm(plain, 1)
    torch.testing.assert_close(mixed(multi, one, one, features), plain(features))
    torch.testing.assert_close(dict(multi.branches[0].state_dict()), dict(plain.state_dict()))


def test_weights_by_true_type_are_the_groups_of_multibn_manual():
    soft = norms(train=True)
    hard = copy.deepcopy(soft)
    with routed(Groups(((0, 2), (1, 2), (2, 2)))):
        expected = hard(FEATURES)
    torch.testing.assert_close(mixed(soft, FRACTIONS, FRACTIONS), expected)
    torch.testing.assert_close(dict(soft.state_dict()), dict(hard.state_dict()))


@pytest.mark.parametrize("train", [True, False])
def test_with_identical_branches_the_weights_do_not_matter(train):
    multi = MultiBatchNorm(norms(train).branches[0], 3)
    fractions = torch.ones(6, 3).double()
    outputs = [mixed(copy.deepcopy(multi), w, fractions) for w in (WEIGHTS, FRACTIONS, WEIGHTS.flip(1))]
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(outputs[0], outputs[2])


def test_each_type_moves_the_statistics_of_its_branch_alone():
    multi = norms(train=True)
    before = copy.deepcopy(multi.state_dict())
    only = torch.tensor([[0.0, 1.0, 0.0]]).double().repeat(6, 1)
    mixed(multi, WEIGHTS, only)
    moved = {key.split(".")[1] for key, value in multi.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"1"}


def test_a_branch_without_a_clip_normalizes_with_its_running_statistics():
    multi = norms(train=True)
    second = torch.tensor([[0.0, 1.0, 0.0]]).double().repeat(6, 1)
    expected = copy.deepcopy(multi).eval().branches[2](FEATURES)
    torch.testing.assert_close(mixed(multi, second.roll(1, 1), second), expected)


def test_weighted_statistics_count_clips_in_part():
    """A clip of fraction 1/2 beside one of fraction 1 counts as one clip beside its own two copies."""
    multi, plain = norms(train=True), nn.BatchNorm3d(2, affine=False).double()
    fractions = torch.tensor([[0.5, 0, 0], [1.0, 0, 0]]).double()
    weights = torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]).double()
    for branch in multi.branches:
        nn.init.ones_(branch.weight)
        nn.init.zeros_(branch.bias)
    expected = plain(FEATURES[[0, 1, 1]])[:2]
    torch.testing.assert_close(mixed(multi, weights, fractions, FEATURES[:2]), expected)


def test_training_without_shares_is_refused():
    with pytest.raises(RuntimeError, match="needs the fractions"):
        mixed(norms(train=True), WEIGHTS, None)


def test_a_network_selects_by_the_clip_and_forgets_it():
    network, clips = selected().eval(), torch.rand(4, 3, 4, 16, 16, generator=RANDOM)
    rho = network.selector(clips).softmax(1)
    with choosing(lambda logits: Mixture(rho)):
        expected = network(clips)
    with record_selections() as recorded:
        assert torch.equal(network(clips), expected)
    network(clips)
    assert [selection.branches for selection in recorded] == [network.batchnorm_branches]
    assert torch.equal(recorded[0].logits.softmax(1), rho)
    with record_selections() as recorded:
        fixed = through(network, "lp")(clips)
    assert recorded == []
    assert torch.equal(fixed, through(network.target, "lp")(clips))
    assert torch.equal(network(clips), expected)


def test_the_gradient_reaches_the_clip_through_the_selection():
    network, clips = selected().eval(), torch.rand(2, 3, 4, 16, 16, generator=RANDOM)
    for branch, scale in enumerate([0.2, 1.0, 3.0]):  # branches that differ, or the selection would not matter
        network.target.bn1.branches[branch].weight.data.fill_(scale)
    whole = torch.autograd.grad(network(clips.requires_grad_()).square().sum(), clips)[0]
    with torch.no_grad():
        rho = network.selector(clips).softmax(1)
    with choosing(lambda logits: Mixture(rho)):
        frozen = torch.autograd.grad(network(clips).square().sum(), clips)[0]
    assert not torch.allclose(whole, frozen, rtol=1e-2)


def test_weights_without_a_selection_are_the_target_s():
    network = selected()
    plain = ResNet3D(depth=10, width=4, stem_kernel=3, stem_pool=False, stages=2)(5).state_dict()
    assert network_for_weights(network, plain) is network.target
    load_initial(network_for_weights(network, plain), plain)
    assert torch.equal(network.target.bn1.branches[2].weight, plain["bn1.weight"])
    assert network_for_weights(network, network.state_dict()) is network
    load_initial(network, selected(seed=1).state_dict())


@pytest.mark.parametrize("weighting", [Softmax(temperature=0.5), GumbelSoftmax(), GumbelSoftmax(hard=True)])
def test_weights_sum_to_one_and_draw_only_in_training(weighting):
    logits = torch.randn(5, 3, generator=RANDOM)
    assert torch.equal(weighting(logits), weighting(logits))
    generators = [torch.Generator().manual_seed(i) for i in range(5)]
    torch.testing.assert_close(weighting(logits, generators).sum(1), torch.ones(5))


def test_gumbel_noise_chooses_as_often_as_the_softmax_says():
    logits = torch.tensor([[1.0, 0.0, -1.0]]).repeat(20000, 1)
    generators = [torch.Generator().manual_seed(i) for i in range(len(logits))]
    chosen = GumbelSoftmax(hard=True)(logits, generators).mean(0)
    torch.testing.assert_close(chosen, logits[0].softmax(0), atol=0.01, rtol=0)  # three standard errors


def test_the_hard_choice_has_the_gradient_of_the_soft_one():
    logits = torch.randn(4, 3, generator=RANDOM, requires_grad=True)
    probe = torch.randn(4, 3, generator=RANDOM)
    hard = torch.autograd.grad((GumbelSoftmax(hard=True)(logits) * probe).sum(), logits)[0]
    soft = torch.autograd.grad((logits.softmax(1) * probe).sum(), logits)[0]
    torch.testing.assert_close(hard, soft)


def test_gumbel_weights_are_a_softmax_of_noisy_logits_over_the_temperature():
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    noise = gumbel_noise(logits, clip_generators(3, ["a"]))
    expected = ((logits + noise) / 2).softmax(1)
    torch.testing.assert_close(GumbelSoftmax(temperature=2.0)(logits, clip_generators(3, ["a"])), expected)
    assert torch.equal(noise, gumbel_noise(logits, clip_generators(3, ["a"])))
    assert not torch.equal(noise, gumbel_noise(logits, clip_generators(3, ["b"])))
