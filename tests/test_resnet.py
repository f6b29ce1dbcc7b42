"""ResNets on clips and images against published parameter counts and torchvision's 2D networks."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.multi_batchnorm import branch_out, through, through_groups
from pipeline_lib.networks.resnet import ResNet, ResNet2D, ResNet3D, ResNeXt3D, WideResNet3D

CLASSES = 7
TINY = ResNet3D(depth=10, width=8, stem_kernel=3, stem_pool=False)
IMAGENET_STEM = {"stem_kernel": 7, "stem_stride": (2, 2), "stem_pool": True}


def planar_resnext101() -> nn.Module:
    return torchvision.models.ResNet(Bottleneck, [3, 4, 23, 3], CLASSES, groups=32, width_per_group=4)


TWINS = {
    "ResNet-18": (lambda: ResNet3D(depth=18)(CLASSES), lambda: torchvision.models.resnet18(num_classes=CLASSES)),
    "ResNet-50": (lambda: ResNet3D(depth=50)(CLASSES), lambda: torchvision.models.resnet50(num_classes=CLASSES)),
    "Wide ResNet-50": (
        lambda: WideResNet3D(depth=50, widen=2)(CLASSES),
        lambda: torchvision.models.wide_resnet50_2(num_classes=CLASSES),
    ),
    "ResNeXt-101": (lambda: ResNeXt3D()(CLASSES), planar_resnext101),
}


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def parameters(build) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def test_resnet18_with_shortcut_a_has_the_authors_number_of_parameters():
    assert parameters(lambda: ResNet3D(depth=18, shortcut="A")(101)) == 33_081_893


def test_2d_resnet18_has_the_published_numbers_of_parameters():
    published = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["num_params"]
    assert parameters(lambda: ResNet2D(**IMAGENET_STEM)(1000)) == published == 11_689_512
    smaller_stem = 64 * 3 * (7 * 7 - 3 * 3)
    assert parameters(lambda: ResNet2D()(10)) == published - smaller_stem - 513 * 990


def counted(blocks: tuple[int, ...], groups: int, classes: int) -> int:
    """Weights of a 3D network of bottlenecks with 128 planes and expansion 2, by its structure in Hara et al."""
    total, inputs = 3 * 64 * 7**3 + 2 * 64, 64
    for stage, count in enumerate(blocks):
        planes = 128 * 2**stage
        outputs = 2 * planes
        total += inputs * outputs + 2 * outputs  # the projection of the stage's first block
        for _ in range(count):
            total += inputs * planes + planes * planes // groups * 27 + planes * outputs
            total += 2 * (planes + planes + outputs)
            inputs = outputs
    return total + (2048 + 1) * classes


@pytest.mark.parametrize(
    ("method", "blocks", "groups"),
    [(ResNeXt3D(), (3, 4, 23, 3), 32), (WideResNet3D(), (3, 4, 6, 3), 1)],
    ids=["ResNeXt-101 32x4d", "Wide ResNet-50 k=2"],
)
def test_networks_of_the_papers_have_as_many_parameters_as_their_structure_says(method, blocks, groups):
    assert parameters(lambda: method(400)) == counted(blocks, groups, 400)


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


def stage_sizes(network: nn.Module, inputs: torch.Tensor) -> list[tuple[int, ...]]:
    sizes = []
    for name in network.stages:
        network.get_submodule(name).register_forward_hook(lambda *args: sizes.append(tuple(args[2].shape[2:])))
    assert network(inputs).shape == (len(inputs), 101)
    return sizes


@pytest.mark.parametrize("method", [ResNet3D(depth=18, shortcut="A"), WideResNet3D(), ResNeXt3D()])
def test_feature_maps_of_the_papers_clip_have_the_authors_sizes(method):
    with torch.device("meta"):
        sizes = stage_sizes(method(101), torch.empty(1, 3, 40, 112, 112))
    assert sizes == [(20, 28, 28), (10, 14, 14), (5, 7, 7), (3, 4, 4)]


def test_feature_maps_of_cifar_images():
    with torch.device("meta"):
        sizes = stage_sizes(ResNet2D()(101), torch.empty(1, 3, 32, 32))
    assert sizes == [(32, 32), (16, 16), (8, 8), (4, 4)]


@pytest.mark.parametrize("depth", [18, 50])
def test_2d_resnets_are_torchvisions(depth):
    planar = seeded(lambda: getattr(torchvision.models, f"resnet{depth}")(num_classes=CLASSES)).eval()
    ours = ResNet2D(depth=depth, **IMAGENET_STEM)(CLASSES).eval()
    ours.load_state_dict(planar.state_dict(), strict=True)
    picture = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(picture), planar(picture), rtol=1e-4, atol=1e-4)


def test_clips_of_one_frame_are_images():
    network = seeded(lambda: ResNet2D(depth=10, width=4)(CLASSES)).eval()
    picture = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network(picture[:, :, None]), network(picture))
    with pytest.raises(PipelineError, match="not clips of 2: choose a 3D network"):
        network(torch.rand(2, 3, 2, 16, 16))


def test_branches_of_a_2d_network_start_as_the_network():
    network = seeded(lambda: ResNet2D(depth=10, width=4)(CLASSES)).eval()
    branched = branch_out(network, ["clean", "lp"])
    pictures = torch.rand(4, 3, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(through(branched, "lp")(pictures), network(pictures))
        branched.layer1[0].bn1.branches[1].bias.add_(1)
        mixed = through_groups(branched, [("clean", 3), ("lp", 1)])(pictures)
        torch.testing.assert_close(mixed[:3], network(pictures[:3]))
        assert not torch.allclose(mixed[3:], network(pictures[3:]))


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
        ({"width": 0}, "width is 0"),
        ({"stem_stride": (1, 2)}, r"stem_stride is \[1, 2\]: give three numbers"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(PipelineError, match=message):
        ResNet3D(**fields)(CLASSES)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (ResNet2D(stem_stride=(1, 2, 2)), r"stem_stride is \[1, 2, 2\]: give two numbers"),
        (ResNeXt3D(cardinality=24), "cardinality: 128 planes .* do not divide into 24 groups"),
    ],
)
def test_wrong_fields_of_other_networks_are_named(method, message):
    with pytest.raises(PipelineError, match=message):
        method(CLASSES)
