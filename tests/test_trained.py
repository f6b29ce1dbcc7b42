"""Starting from weights of other models and programs."""

import pytest
import torch
from torch import nn
from torchvision.models.video import r3d_18

from pipeline_lib.defenses.multibn import MultiBN
from pipeline_lib.errors import PipelineError
from pipeline_lib.evaluation.prediction import predict
from pipeline_lib.evaluation.source import Settings, Source
from pipeline_lib.models import checkpoint
from pipeline_lib.models.trained import channels_last, load_model, new_network, start_from, start_selection_from
from pipeline_lib.networks.multi_batchnorm import branch_out
from pipeline_lib.networks.resnet import ResNet2D, ResNet3D
from pipeline_lib.networks.torchvision_networks import TorchvisionR3D18
from tiny import CLASSES, NETWORK, STANDARD, write_clips

TINY = {"depth": 10, "width": 4, "stages": 2, "shortcut": "A"}


def network(classes: int) -> nn.Module:
    net = ResNet3D(**TINY)(classes)
    for norm in (part for part in net.modules() if isinstance(part, nn.BatchNorm3d)):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.running_mean)
    return net


@pytest.mark.parametrize(("kind", "layout"), [(nn.Conv2d, torch.channels_last), (nn.Conv3d, torch.channels_last_3d)])
def test_kernels_are_channels_last_with_the_same_values(kind, layout):
    layer = kind(3, 4, 3)
    before = layer.weight.detach().clone()
    assert channels_last(layer) is layer
    assert layer.weight.is_contiguous(memory_format=layout)
    assert not layer.weight.is_contiguous()
    assert torch.equal(layer.weight, before)


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


def selecting(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MultiBN(branches={"clean": [], "lp": []}, selector=ResNet3D(**TINY)).extend(network(5))


def test_a_selection_module_starts_from_that_of_another_model(tmp_path):
    source, target = selecting(1), selecting(2)
    torch.save(source.state_dict(), tmp_path / "multibn.pth")
    before = {key: value.clone() for key, value in target.target.state_dict().items()}
    start_selection_from(target, tmp_path / "multibn.pth")
    assert all(
        torch.equal(value, source.selector.state_dict()[key]) for key, value in target.selector.state_dict().items()
    )
    assert all(torch.equal(value, before[key]) for key, value in target.target.state_dict().items())


@pytest.mark.parametrize(("classes", "head"), [(400, "fresh"), (2, "loaded")])
def test_a_selection_module_starts_from_a_network_for_other_classes_or_from_a_detector(tmp_path, classes, head):
    source, target = network(classes), selecting(2)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    fresh = target.selector.fc.weight.clone()
    start_selection_from(target, tmp_path / "weights.pth")
    assert torch.equal(target.selector.layer2[0].conv1.weight, source.layer2[0].conv1.weight)
    assert torch.equal(target.selector.fc.weight, fresh if head == "fresh" else source.fc.weight)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: (selecting(2), ResNet3D(**TINY | {"width": 8})(2)), "w.pth: of the selection module: initial weights"),
        (lambda: (network(5), network(5)), "w.pth: of the selection module: .*has no attribute"),
    ],
)
def test_weights_that_do_not_fit_a_selection_module_are_named(tmp_path, made, message):
    target, source = made()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    with pytest.raises(PipelineError, match=message):
        start_selection_from(target, tmp_path / "w.pth")


def test_this_pipelines_own_models_start_others(tmp_path):
    source, target = network(5), network(5)
    checkpoint.save(tmp_path / "model.pt", source, entry={}, classes=list("abcde"))
    start_from(target, tmp_path / "model.pt")
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())


class Own(nn.Module):
    """A user's network; `head`, where given, declares the layer that makes its logits."""

    def __init__(self, classes: int, head: str | None) -> None:
        super().__init__()
        self.features, self.classifier = nn.Conv3d(3, 6, 1), nn.Sequential(nn.Linear(6, 5), nn.Linear(5, classes))
        if head is not None:
            self.head = head

    def forward(self, clips):
        return self.classifier(self.features(clips).mean((2, 3, 4)))


class NamedHead(nn.Module):
    """A network whose last layer is called `head`, as in many transformers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 6), nn.Linear(6, classes)


@pytest.mark.parametrize(
    ("make", "head", "body"),
    [
        (lambda classes: Own(classes, "classifier.1"), "classifier.1", "classifier.0"),
        (NamedHead, "head", "body"),
        (TorchvisionR3D18(), "fc", "stem.0"),
    ],
    ids=["declared", "by name", "torchvision"],
)
def test_any_head_starts_fresh_for_other_classes_and_the_log_names_it(tmp_path, caplog, make, head, body):
    source, target = make(9), make(4)
    checkpoint.save(tmp_path / "model.pt", source, entry={})
    fresh = target.get_submodule(head).weight.clone()
    with caplog.at_level("INFO"):
        start_from(target, tmp_path / "model.pt")
    assert torch.equal(target.get_submodule(head).weight, fresh)
    assert torch.equal(target.get_submodule(body).weight, source.get_submodule(body).weight)
    assert f"initial weights: {head}.bias, {head}.weight for other classes omitted" in caplog.text


def test_a_head_for_the_same_classes_is_taken_over_without_a_word(tmp_path, caplog):
    source, target = Own(4, "classifier.1"), Own(4, "classifier.1")
    checkpoint.save(tmp_path / "model.pt", source, entry={})
    with caplog.at_level("INFO"):
        start_from(target, tmp_path / "model.pt")
    assert torch.equal(target.classifier[1].weight, source.classifier[1].weight)
    assert "initial weights" not in caplog.text


@pytest.mark.parametrize("head", [None, "classifer"])
def test_a_head_that_is_not_declared_is_a_layer_that_does_not_fit(tmp_path, head):
    checkpoint.save(tmp_path / "model.pt", Own(9, head), entry={})
    with pytest.raises(PipelineError, match=rf"classifier\.1\.weight is \(9, 5\), .*only its head, {head or 'fc'!r}"):
        start_from(Own(4, head), tmp_path / "model.pt")


def test_a_network_with_a_selection_module_starts_from_one_of_other_classes(tmp_path):
    soft = MultiBN(branches={"clean": [], "lp": []}, selector=ResNet3D(**TINY))
    source, target = soft.extend(network(9)), soft.extend(network(4))
    checkpoint.save(tmp_path / "model.pt", source, entry={})
    fresh = target.target.fc.weight.clone()
    start_from(target, tmp_path / "model.pt")
    assert torch.equal(target.target.fc.weight, fresh)
    assert torch.equal(target.selector.fc.weight, source.selector.fc.weight)


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


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_refused_by_file_and_name(tmp_path, value):
    """One of thousands is enough: comparisons with NaN are false, so that such a model looks robust."""
    source = network(5)
    source.layer1[0].bn1.running_var[2] = value
    entry = {"network": {"method": "pipeline_lib.networks.resnet:ResNet3D"} | TINY, "defense": STANDARD, "seed": 0}
    checkpoint.save(tmp_path / "own.pt", source, entry=entry, classes=list("abcde"))
    torch.save(source.state_dict(), tmp_path / "foreign.pth")
    expected = r"layer1\.0\.bn1\.running_var contains values that are not finite"
    with pytest.raises(PipelineError, match=rf"foreign\.pth: {expected}"):
        start_from(network(5), tmp_path / "foreign.pth")
    with pytest.raises(PipelineError, match=rf"own\.pt: {expected}"):
        load_model(tmp_path / "own.pt", torch.device("cpu"))


@pytest.mark.parametrize("scale", [1e38, -1e38])
def test_predictions_that_overflow_stop_the_job(tmp_path, scale):
    """Finite weights whose logits are infinite; nothing is written."""
    entry = {"network": NETWORK, "defense": STANDARD, "seed": 0}
    net, _ = new_network(entry, 2)
    with torch.no_grad():
        net.fc.weight[1] = scale
        net.fc.bias[1] = 3 * scale
    checkpoint.save(tmp_path / "model.pt", net, entry=entry, classes=CLASSES)
    clips = write_clips(tmp_path / "clips.h5")
    source, settings = Source(weights=tmp_path / "model.pt"), Settings(batch_size=4, device=torch.device("cpu"))
    with pytest.raises(PipelineError, match=r"model\.pt: its loss on 10 of 10 clips is not finite .* Left/v_00"):
        predict(source, clips=clips, output=tmp_path / "out.csv", settings=settings)
    assert not (tmp_path / "out.csv").exists()
