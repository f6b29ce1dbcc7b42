"""3D ResNets against the printed parameter count and torchvision's 2D networks."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from pipeline_lib.errors import PipelineError
from pipeline_lib.models.resnet import ResNet, ResNet3D, SubsampledIdentity, WideResNet3D

CLASSES = 7
TINY = ResNet3D(depth=10, width=8, stem_kernel=3, stem_pool=False)


def resnext101() -> nn.Module:
    return ResNet(classes=CLASSES, blocks=(3, 4, 23, 3), planes=128, expansion=2, cardinality=32)


def planar_resnext101() -> nn.Module:
    return torchvision.models.ResNet(Bottleneck, [3, 4, 23, 3], CLASSES, groups=32, width_per_group=4)


TWINS = {
    "ResNet-18": (lambda: ResNet3D(depth=18)(CLASSES), lambda: torchvision.models.resnet18(num_classes=CLASSES)),
    "ResNet-50": (lambda: ResNet3D(depth=50)(CLASSES), lambda: torchvision.models.resnet50(num_classes=CLASSES)),
    "Wide ResNet-50": (
        lambda: WideResNet3D(depth=50, widen=2)(CLASSES),
        lambda: torchvision.models.wide_resnet50_2(num_classes=CLASSES),
    ),
    "ResNeXt-101": (resnext101, planar_resnext101),
}


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def test_resnet18_with_shortcut_a_has_the_authors_number_of_parameters():
    with torch.device("meta"):
        network = ResNet3D(depth=18, shortcut="A")(101)
    assert sum(parameter.numel() for parameter in network.parameters()) == 33_081_893


@pytest.mark.parametrize("name", TWINS)
def test_names_and_shapes_are_torchvisions_with_one_more_kernel_axis(name):
    with torch.device("meta"):
        ours, planar = (build().state_dict() for build in TWINS[name])
    expected = {k: (*v.shape, v.shape[-1]) if v.dim() == 4 else tuple(v.shape) for k, v in planar.items()}
    assert {k: tuple(v.shape) for k, v in ours.items()} == expected


@pytest.mark.parametrize(
    ("ours", "planar"),
    [
        ({}, (BasicBlock, {})),
        ({"expansion": 4}, (Bottleneck, {})),
        ({"planes": 128, "expansion": 2, "cardinality": 32}, (Bottleneck, {"groups": 32, "width_per_group": 4})),
    ],
    ids=["basic", "bottleneck", "grouped"],
)
def test_a_still_picture_gives_torchvisions_logits(ours, planar):
    """Kernels that are zero but for their middle frame see a single picture exactly as a 2D network does."""
    block, options = planar
    planar = seeded(lambda: torchvision.models.ResNet(block, [1, 1, 1, 1], CLASSES, **options)).eval()
    ours = ResNet(classes=CLASSES, blocks=(1, 1, 1, 1), **ours).eval()
    weights = {}
    for key, value in planar.state_dict().items():
        weights[key] = value
        if value.dim() == 4:
            weights[key] = torch.zeros_like(ours.state_dict()[key])
            weights[key][:, :, value.shape[-1] // 2] = value
    ours.load_state_dict(weights)
    picture = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(picture[:, :, None]), planar(picture), rtol=1e-4, atol=1e-4)


def test_shortcut_a_takes_every_second_position_and_adds_empty_channels():
    features = torch.rand(2, 3, 4, 5, 6)
    shortcut = SubsampledIdentity(3, 5, 2)(features)
    assert torch.equal(shortcut[:, :3], features[:, :, ::2, ::2, ::2])
    assert shortcut.shape == (2, 5, 2, 3, 3)
    assert not shortcut[:, 3:].any()


def test_feature_maps_of_the_papers_clip_have_the_authors_sizes():
    sizes = []
    with torch.device("meta"):
        network = ResNet3D(depth=18, shortcut="A")(101)
        for name in network.stages:
            network.get_submodule(name).register_forward_hook(lambda *args: sizes.append(tuple(args[2].shape[2:])))
        logits = network(torch.empty(1, 3, 40, 112, 112))
    assert sizes == [(20, 28, 28), (10, 14, 14), (5, 7, 7), (3, 4, 4)]
    assert logits.shape == (1, 101)


def test_convolutions_start_with_the_variance_of_their_fan_out():
    weight = seeded(lambda: ResNet3D(depth=10, width=32)(CLASSES)).layer2[0].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 27)) ** 0.5, rel=0.02)


def test_the_same_seed_gives_the_same_network():
    first, second = (seeded(lambda: TINY(CLASSES)).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_fields_shape_the_stem_and_the_number_of_stages():
    network = ResNet3D(depth=10, width=8, stem_kernel=3, stem_stride=(2, 2, 2), stem_pool=False, stages=2)(CLASSES)
    assert network.conv1.kernel_size == (3, 3, 3)
    assert network.conv1.stride == (2, 2, 2)
    assert network.fc.in_features == 16
    assert network(torch.rand(2, 3, 8, 32, 32)).shape == (2, CLASSES)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 19}, r"no ResNet of depth 19; choose one of \[10, 18"),
        ({"shortcut": "C"}, "'C' is unknown; choose \"A\""),
        ({"stages": 5}, "stages is 5"),
        ({"stem_stride": (1, 2)}, r"stem_stride is \[1, 2\]: give three numbers"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(PipelineError, match=message):
        ResNet3D(**fields)(CLASSES)
