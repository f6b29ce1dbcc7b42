"""MultiBN equals BatchNorm where it should, keeps branches apart, and never remembers a route."""

import copy

import pytest
import torch
from torch import nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.multi_batchnorm import (
    Groups,
    MultiBatchNorm,
    branch_out,
    branches_of,
    load_initial,
    routed,
    through,
    through_groups,
)
from pipeline_lib.networks.resnet import ResNet3D

BRANCHES = ["clean", "pgd", "roa"]
RANDOM = torch.Generator().manual_seed(0)
CLIPS = torch.rand(6, 3, 4, 16, 16, generator=RANDOM)


def trained_looking(classes: int = 5, seed: int = 0) -> nn.Module:
    """A small network whose BatchNorms are no longer at their initial values."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResNet3D(depth=10, width=4, stem_kernel=3, stem_pool=False, stages=2)(classes)
        for part in network.modules():
            if isinstance(part, nn.BatchNorm3d):
                for values in (part.weight, part.bias, part.running_mean, part.running_var):
                    nn.init.uniform_(values, 0.5, 1.5)
    return network.eval()


def statistics(network: nn.Module, branch: int) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items() if f".branches.{branch}." in k}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("mode", [True, False])
def test_one_branch_is_batchnorm(mode):
    plain = trained_looking().train(mode)
    branched = branch_out(plain, ["only"])
    expected, logits = plain(CLIPS), through(branched, "only")(CLIPS)
    assert torch.equal(logits, expected)
    expected.sum().backward()
    logits.sum().backward()
    for ours, theirs in zip(branched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    moved = {key.replace(".branches.0", ""): value for key, value in branched.state_dict().items()}
    assert same(moved, plain.state_dict())


def test_groups_are_normalized_as_if_each_came_alone():
    norms = [nn.BatchNorm3d(2) for _ in range(2)]
    multi = MultiBatchNorm(norms[0], 2)
    features = torch.randn(5, 2, 3, 4, 4, generator=RANDOM)
    with routed(Groups(((1, 2), (0, 3)))):
        together = multi(features)
    assert torch.equal(together, torch.cat([norms[1](features[:2]), norms[0](features[2:])]))
    assert same(dict(multi.branches[1].state_dict()), dict(norms[1].state_dict()))
    assert same(dict(multi.branches[0].state_dict()), dict(norms[0].state_dict()))


def test_neighbors_of_one_branch_share_their_statistics():
    multi, norm = MultiBatchNorm(nn.BatchNorm3d(2), 2), nn.BatchNorm3d(2)
    features = torch.randn(5, 2, 3, 4, 4, generator=RANDOM)
    with routed(Groups(((1, 2), (0, 0), (1, 3)))):
        assert torch.equal(multi(features), norm(features))


def test_a_group_moves_only_the_statistics_of_its_branch():
    network = branch_out(trained_looking(), BRANCHES).train()
    before = [statistics(network, i) for i in range(3)]
    through_groups(network, [("clean", 2), ("roa", 4)])(CLIPS)
    changed = [not same(statistics(network, i), before[i]) for i in range(3)]
    assert changed == [True, False, True]


def test_a_group_sends_gradients_only_to_its_branch():
    network = branch_out(trained_looking(), BRANCHES).train()
    through(network, "pgd")(CLIPS).sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if ".branches." in name}
    reached = {name.split(".branches.")[1][0] for name, gradient in gradients.items() if gradient is not None}
    assert reached == {"1"}


def test_stem_and_blocks_are_branched_and_shortcuts_shared():
    parts = branch_out(trained_looking(), BRANCHES).named_modules()
    names = {name for name, part in parts if isinstance(part, MultiBatchNorm)}
    assert names == {"bn1", "layer1.0.bn1", "layer1.0.bn2", "layer2.0.bn1", "layer2.0.bn2"}


def test_shortcuts_are_branched_on_demand():
    network = branch_out(trained_looking(), BRANCHES, shared=())
    assert isinstance(network.get_submodule("layer2.0.downsample.1"), MultiBatchNorm)


def test_every_branch_starts_as_the_plain_network_and_the_plain_network_is_left_alone():
    plain = trained_looking()
    before = copy.deepcopy(plain.state_dict())
    network = branch_out(plain, BRANCHES)
    for branch in BRANCHES:
        assert torch.equal(through(network, branch)(CLIPS), plain(CLIPS))
    assert same(plain.state_dict(), before)
    assert network.batchnorm_branches == tuple(BRANCHES)


def test_the_route_ends_after_use_and_after_an_error():
    network = branch_out(trained_looking(), BRANCHES)
    through(network, "pgd")(CLIPS)
    with pytest.raises(RuntimeError, match=r"call it by through\(network, branch\)"):
        network(CLIPS)
    with pytest.raises(RuntimeError, match="channels"):
        through(network, "pgd")(CLIPS[:, :2])
    with pytest.raises(RuntimeError, match="no default branch"):
        network(CLIPS)


def test_an_inner_route_gives_way_to_the_outer_one():
    norm = MultiBatchNorm(nn.BatchNorm3d(3), 2).train()
    with routed(Groups(((0, 6),))):
        with routed(Groups(((1, 6),))):
            norm(CLIPS)
        assert norm.branches[0].num_batches_tracked == 0
        norm(CLIPS)
    assert [branch.num_batches_tracked.item() for branch in norm.branches] == [1, 1]


def test_groups_must_count_the_batch():
    network = branch_out(trained_looking(), BRANCHES)
    with pytest.raises(RuntimeError, match="the route is for 5 clips, the batch has 6"):
        through_groups(network, [("clean", 2), ("pgd", 3)])(CLIPS)


def test_unknown_branches_are_answered_with_the_known_ones():
    with pytest.raises(PipelineError, match="'af' is unknown to this network; it has clean, pgd, roa"):
        through(branch_out(trained_looking(), BRANCHES), "af")
    with pytest.raises(PipelineError, match="network; it has no branches: use a MultiBN defense$"):
        through_groups(trained_looking(), [("clean", 6)])


def test_branches_are_named_once():
    with pytest.raises(PipelineError, match="different names"):
        branch_out(trained_looking(), ["clean", "clean"])
    with pytest.raises(PipelineError, match="has branches already"):
        branch_out(branch_out(trained_looking(), BRANCHES), BRANCHES)


def test_fine_tuning_starts_every_branch_from_a_plain_network():
    source, network = trained_looking(seed=1), branch_out(trained_looking(), BRANCHES)
    load_initial(network, source.state_dict())
    for branch in BRANCHES:
        assert torch.equal(through(network, branch)(CLIPS), source(CLIPS))


def test_fine_tuning_starts_from_a_branched_network_branch_by_branch():
    source, network = (branch_out(trained_looking(seed=seed), BRANCHES).train() for seed in (1, 0))
    through(source, "roa")(CLIPS)
    load_initial(network, source.state_dict())
    assert same(network.state_dict(), source.state_dict())


def test_fine_tuning_for_other_classes_keeps_the_fresh_fc():
    source, network = trained_looking(classes=9), trained_looking(classes=5, seed=1)
    fresh = network.fc.weight.clone()
    load_initial(network, source.state_dict())
    assert torch.equal(network.fc.weight, fresh)
    assert torch.equal(network.layer1[0].conv1.weight, source.layer1[0].conv1.weight)


def test_old_checkpoints_that_count_no_batches_are_read():
    state = {k: v for k, v in trained_looking(seed=1).state_dict().items() if not k.endswith("num_batches_tracked")}
    network = branch_out(trained_looking(), BRANCHES)
    load_initial(network, state)
    assert torch.equal(network.bn1.branches[2].running_var, state["bn1.running_var"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), r"layer1\.0\.conv1\.weight \(4, 4, 3, 3, 3\) is missing"),
        (lambda s: s.pop("bn1.weight"), r"bn1\.branches\.0\.weight \(4,\) is missing"),
        (lambda s: s.update({"extra": torch.zeros(2)}), r"extra \(2,\) has no place"),
        (lambda s: s.update({"bn1.weight": torch.zeros(3)}), r"bn1\.branches\.0\.weight is \(3,\), .* needs \(4,\)"),
        (lambda s: s.update({"fc.weight": torch.zeros(5, 3)}), r"fc\.weight is \(5, 3\), .* needs \(5, 8\)$"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(change, message):
    state = dict(trained_looking(seed=1).state_dict())
    change(state)
    network = branch_out(trained_looking(), BRANCHES)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(PipelineError, match=message):
        load_initial(network, state)
    assert same(network.state_dict(), before)


def test_a_network_may_call_something_else_its_branches():
    network = trained_looking()
    network.branches = 2
    assert branches_of(network) == ()
    assert branches_of(branch_out(network, BRANCHES)) == tuple(BRANCHES)
