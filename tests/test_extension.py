"""Blocks after a stage: names stay, fresh weights stay, and an initial model may be without them."""

import copy

import pytest
import torch
import torchvision
from torch import nn

import tiny
from configured import CONFIG, resolved
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import load_model, new_network, parameter_count, start_from
from pipeline_lib.networks.denoise import FeatureDenoising
from pipeline_lib.networks.extension import Added, Fixed, add_after, last_norm, missing_block_keys, stage_of, stages_of
from pipeline_lib.networks.multi_batchnorm import branch_out, load_initial, through
from pipeline_lib.networks.oudefend import OUDefend
from pipeline_lib.networks.resnet import ResNet3D

CLASSES = 3
PLAIN = ResNet3D(depth=10, width=8, stages=2, stem_kernel=3, stem_pool=False)
CLIPS = torch.rand(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
EXTENSIONS = {
    "oudefend": OUDefend(network=PLAIN, after=["layer2"], width=4),
    "denoising": FeatureDenoising(network=PLAIN, after=["layer1", "layer2"]),
    "fair": FeatureDenoising(network=PLAIN, after=["layer1", "layer2"], form="fair"),
}
extended = pytest.mark.parametrize("name", EXTENSIONS)


def seeded(make, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(CLASSES)


def trained_looking(make, seed: int = 0) -> nn.Module:
    """A network whose every parameter and statistic is random, those of blocks that start as the identity too."""
    network = seeded(make, seed)
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.add_(0.2 * torch.rand(value.shape, generator=generator) - 0.1)
    return network.eval()


@extended
def test_the_networks_own_parameters_keep_their_names_and_fresh_values(name):
    plain, network = seeded(PLAIN).state_dict(), seeded(EXTENSIONS[name]).state_dict()
    assert all(torch.equal(network[key], plain[key]) for key in plain)
    blocks = {".".join(key.split(".")[:3]) for key in network.keys() - plain.keys()}
    block = "oudefend" if name == "oudefend" else "denoise"
    assert blocks == {f"{stage}.{block}.block" for stage in EXTENSIONS[name].after}


@extended
def test_logits_and_gradients_pass_the_blocks(name):
    network, clips = trained_looking(EXTENSIONS[name]).train(), CLIPS.clone().requires_grad_()
    logits = network(clips)
    logits.square().sum().backward()
    assert logits.shape == (2, CLASSES)
    assert clips.grad.abs().sum() > 0
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@extended
def test_weights_go_around_a_checkpoint(name, tmp_path):
    network, other = trained_looking(EXTENSIONS[name]), seeded(EXTENSIONS[name], seed=1).eval()
    checkpoint.save(tmp_path / "model.pt", network, entry={})
    other.load_state_dict(checkpoint.load(tmp_path / "model.pt")["state"])
    assert torch.equal(other(CLIPS), network(CLIPS))


@extended
def test_fine_tuning_from_a_plain_network_keeps_the_blocks_fresh(name):
    initial, network = trained_looking(PLAIN, seed=1), trained_looking(EXTENSIONS[name])
    before = copy.deepcopy(network.state_dict())
    added = missing_block_keys(network, initial.state_dict())
    load_initial(network, initial.state_dict())
    after = network.state_dict()
    assert added == before.keys() - initial.state_dict().keys() != set()
    assert all(torch.equal(after[key], before[key]) for key in added)
    assert all(torch.equal(after[key], value) for key, value in initial.state_dict().items())


@extended
def test_fine_tuning_from_an_extended_network_takes_its_blocks(name):
    initial, network = trained_looking(EXTENSIONS[name], seed=1), trained_looking(EXTENSIONS[name])
    assert missing_block_keys(network, initial.state_dict()) == set()
    load_initial(network, initial.state_dict())
    assert torch.equal(network(CLIPS), initial(CLIPS))


def test_blocks_are_fresh_each_for_itself():
    initial = trained_looking(FeatureDenoising(network=PLAIN, after=["layer1"]), seed=1)
    network = trained_looking(EXTENSIONS["denoising"])
    fresh = copy.deepcopy(network.layer2.denoise.state_dict())
    load_initial(network, initial.state_dict())
    assert torch.equal(network.layer1.denoise.block.theta.weight, initial.layer1.denoise.block.theta.weight)
    assert torch.equal(network.layer2.denoise.block.theta.weight, fresh["block.theta.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer2.oudefend.block.expand.weight"), r"oudefend\.block\.expand\.weight .* is missing"),
        (lambda s: s.update({"layer2.oudefend.block.expand.weight": torch.zeros(16, 8, 1, 1, 1)}), r"expand.* needs"),
        (lambda s: s.pop("layer2.0.conv1.weight"), r"layer2\.0\.conv1\.weight .* is missing"),
    ],
    ids=["part of a block", "block of another width", "the network itself"],
)
def test_what_is_missing_otherwise_is_an_error(change, message):
    state = dict(trained_looking(EXTENSIONS["oudefend"], seed=1).state_dict())
    change(state)
    with pytest.raises(PipelineError, match=message):
        load_initial(trained_looking(EXTENSIONS["oudefend"]), state)


def test_blocks_that_the_network_lacks_are_an_error():
    with pytest.raises(PipelineError, match=r"layer2\.oudefend\..* has no place"):
        load_initial(seeded(PLAIN), seeded(EXTENSIONS["oudefend"]).state_dict())


@extended
def test_multibn_branches_an_extended_network(name):
    plain = trained_looking(EXTENSIONS[name])
    network = branch_out(plain, ["clean", "lp"], shared=())
    assert torch.equal(through(network, "lp")(CLIPS), plain(CLIPS))
    through(network.train(), "lp")(CLIPS)
    assert torch.equal(through(network.eval(), "clean")(CLIPS), plain(CLIPS))
    assert not torch.equal(through(network, "lp")(CLIPS), plain(CLIPS))


def test_multibn_of_a_block_with_a_batchnorm_starts_from_a_network_with_or_without_it():
    network = branch_out(trained_looking(EXTENSIONS["fair"]), ["clean", "lp"])
    key = "layer1.denoise.block.output.1.branches.1.weight"
    fresh = network.state_dict()[key].clone()
    load_initial(network, trained_looking(PLAIN, seed=1).state_dict())
    assert torch.equal(network.state_dict()[key], fresh)
    initial = trained_looking(EXTENSIONS["fair"], seed=1)
    load_initial(network, initial.state_dict())
    assert torch.equal(through(network, "lp")(CLIPS), initial(CLIPS))


def test_an_extension_of_an_extension():
    network = seeded(OUDefend(network=EXTENSIONS["fair"], after=["layer2"], width=4))
    assert [child for child, _ in network.layer2.named_children()] == ["0", "denoise", "oudefend"]
    assert network(CLIPS).shape == (2, CLASSES)


def test_torchvisions_video_resnet_has_the_same_stages():
    def torchvisions(classes: int) -> nn.Module:
        return torchvision.models.video.r3d_18(num_classes=classes)

    with torch.device("meta"):
        network = OUDefend(network=torchvisions)(CLASSES)
        assert network(torch.empty(1, 3, 16, 112, 112)).shape == (1, CLASSES)
    added = parameter_count(network) - parameter_count(torchvisions(CLASSES))
    assert added == 687_360


def test_networks_of_images():
    def planar(classes: int) -> nn.Module:
        return torchvision.models.resnet18(num_classes=classes)

    denoising = FeatureDenoising(network=planar, form="fair")
    network = seeded(OUDefend(network=denoising, after=["layer3"]))
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, CLASSES)
    # 3 x 3 kernels have no time axis to reach over: a third of the weights.
    kernels = {part.kernel_size for part in network.layer3.oudefend.modules() if isinstance(part, nn.Conv3d)}
    assert kernels == {(1, 1, 1), (1, 3, 3)}


def test_an_image_is_a_clip_of_one_frame():
    block = Added(nn.Conv3d(4, 4, 1))
    features = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(features), block(features.unsqueeze(2)).squeeze(2))


def test_the_channels_of_a_stage_are_those_of_its_own_last_batchnorm():
    network = seeded(ResNet3D(depth=50, width=8, stages=1))
    add_after(network, "layer1", "block", nn.BatchNorm3d(7))
    assert last_norm(stage_of(network, "layer1")).num_features == 32


def test_wrong_stages_are_named():
    with pytest.raises(PipelineError, match="after: unknown stage 'layer3'; this network has layer1, layer2"):
        OUDefend(network=PLAIN)(CLASSES)
    with pytest.raises(PipelineError, match="unknown stage 'conv1'"):
        OUDefend(network=PLAIN, after=["conv1"])(CLASSES)
    with pytest.raises(PipelineError, match="after: layer2 has a block 'oudefend' already"):
        OUDefend(network=PLAIN, after=["layer2", "layer2"])(CLASSES)
    with pytest.raises(PipelineError, match="last BatchNorm, and this one has none"):
        last_norm(nn.Sequential(nn.ReLU()))


def test_the_number_of_parameters_leaves_out_frozen_ones():
    network = nn.Linear(3, 2)
    assert parameter_count(network) == 8
    network.bias.requires_grad_(False)
    assert parameter_count(network) == 6


def test_a_fixed_network_gets_no_gradient_and_names_only_itself():
    fixed = Fixed(nn.Linear(3, 2))
    assert list(fixed.named_modules()) == [("", fixed)]
    assert [name for name, _ in nn.Sequential(fixed, fixed).named_modules()] == ["", "0"]
    fixed.block(torch.ones(1, 3, requires_grad=True)).sum().backward()
    assert fixed.block.weight.grad is None


def test_configuration_names_the_network_that_is_extended(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["networks"]["defended"] = {"method": "oudefend", "network": "tiny", "after": ["layer3"], "width": 4}
    config["networks"]["both"] = {
        "method": "feature_denoising",
        "network": "defended",
        "after": ["layer2", "layer3"],
        "attention": "frame_separate",
        "frames": [2, 1],
    }
    config["models"]["at_pgd"]["network"] = "both"
    entry = resolved(config)["models"]["at_pgd-s0"]
    assert entry["network"]["network"]["network"]["method"] == "pipeline_lib.networks.resnet:ResNet3D"
    network = build(entry["network"])(CLASSES)
    assert network(torch.rand(1, 3, 8, 32, 32)).shape == (1, CLASSES)


def test_a_model_of_an_extended_network_is_tuned_from_a_plain_one_and_read_again(tmp_path):
    plain, _ = new_network(tiny.model_entry(tiny.STANDARD), CLASSES)
    checkpoint.save(tmp_path / "plain.pt", plain, entry={})
    wrapped = {"method": "pipeline_lib.networks.oudefend:OUDefend", "network": tiny.NETWORK, "after": ["layer1"]}
    entry = tiny.model_entry(tiny.MULTIBN) | {"network": wrapped}
    network, _ = new_network(entry, CLASSES)
    start_from(network, tmp_path / "plain.pt")
    assert torch.equal(network.conv1.weight, plain.conv1.weight)
    checkpoint.save(tmp_path / "tuned.pt", network, entry=entry, classes=["a", "b", "c"])
    again = load_model(tmp_path / "tuned.pt", torch.device("cpu")).network
    assert torch.equal(through(again, "lp")(CLIPS), through(network.eval(), "lp")(CLIPS))


def test_stages_are_the_layers_with_a_number():
    network = nn.Module()
    network.stem, network.layer1, network.layer2 = nn.Sequential(), nn.Sequential(), nn.Linear(1, 1)
    network.layer10 = nn.Sequential()
    assert list(stages_of(network)) == ["layer1", "layer10"]
