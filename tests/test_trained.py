"""Starting from weights of other models and programs."""

import pytest
import torch
from torch import nn
from torchvision.models.video import r3d_18

from pipeline_lib.errors import PipelineError
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import start_from
from pipeline_lib.networks.multi_batchnorm import branch_out
from pipeline_lib.networks.resnet import ResNet2D, ResNet3D
from pipeline_lib.networks.torchvision_networks import TorchvisionR3D18

TINY = {"depth": 10, "width": 4, "stages": 2, "shortcut": "A"}


def network(classes: int) -> nn.Module:
    net = ResNet3D(**TINY)(classes)
    for norm in (part for part in net.modules() if isinstance(part, nn.BatchNorm3d)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.running_mean)
    return net


def test_kinetics_weights_keep_all_but_the_last_layer_and_fill_every_branch(tmp_path):
    """As the files of Hara et al.: 400 classes, DataParallel, BatchNorms that count no batches."""
    source = network(400).state_dict()
    old = {f"module.{key}": value for key, value in source.items() if not key.endswith("num_batches_tracked")}
    content = {"arch": "resnet-10", "state_dict": old}
    torch.save(content, tmp_path / "kinetics.pth", _use_new_zipfile_serialization=False)
    target = branch_out(network(101), ["clean", "lp"])
    fresh = target.fc.weight.clone()
    start_from(target, tmp_path / "kinetics.pth")
    own = target.state_dict()
    assert torch.equal(own["fc.weight"], fresh)
    assert torch.equal(own["layer2.0.conv1.weight"], source["layer2.0.conv1.weight"])
    for branch in 0, 1:
        for key in "weight", "running_mean":
            assert torch.equal(own[f"layer1.0.bn2.branches.{branch}.{key}"], source[f"layer1.0.bn2.{key}"])


def test_torchvisions_state_dict_starts_a_network_with_branches(tmp_path):
    source = r3d_18(num_classes=400)
    torch.save(source.state_dict(), tmp_path / "r3d_18.pth")
    target = branch_out(TorchvisionR3D18()(6), ["clean", "lp"])
    start_from(target, tmp_path / "r3d_18.pth")
    assert torch.equal(target.state_dict()["layer4.1.conv2.0.weight"], source.state_dict()["layer4.1.conv2.0.weight"])
    assert target.fc.out_features == 6


def test_this_pipelines_own_models_start_others(tmp_path):
    source, target = network(5), network(5)
    checkpoint.save(tmp_path / "model.pt", source, entry={}, classes=list("abcde"))
    start_from(target, tmp_path / "model.pt")
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: ResNet3D(**TINY | {"width": 8})(5), r"w\.pth: initial weights: conv1\.weight is \(8,.* needs \(4,"),
        (lambda: ResNet3D(**TINY | {"shortcut": "B"})(5), r"w\.pth: .* layer2\.0\.downsample\.0\.weight .* no place"),
        (lambda: ResNet3D(**TINY | {"stages": 1})(5), r"w\.pth: initial weights: layer2\.0.* is missing"),
        (lambda: ResNet2D(**TINY | {"stem_kernel": 7})(5), r"w\.pth: initial weights: conv1\.weight is \(4, 3, 7, 7\)"),
    ],
    ids=["width", "shortcut", "stages", "dimensions"],
)
def test_weights_of_another_architecture_are_refused_by_file_and_name(tmp_path, other, message):
    torch.save(other().state_dict(), tmp_path / "w.pth")
    target = network(5)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(PipelineError, match=message):
        start_from(target, tmp_path / "w.pth")
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())
