"""OUDefend's block against a literal one, the papers' parameter counts, and feature maps of every size."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline_lib.errors import PipelineError
from pipeline_lib.models.trained import parameter_count
from pipeline_lib.networks.oudefend import OUBlock, OUDefend
from pipeline_lib.networks.resnet import ResNet3D

PAPER = ResNet3D(depth=18, shortcut="A")
SHAPES = [(2, 4, 4), (5, 7, 7), (1, 2, 5), (3, 6, 3)]


def block(branches: str = "both", channels: int = 6, width: int = 2) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        outer = nn.Conv3d(channels, channels, 1, bias=False)
        return OUBlock(channels, width, branches, outer).double()


def features(shape: tuple[int, int, int], channels: int = 6) -> Tensor:
    return torch.rand(2, channels, *shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Frame by frame, in 2D."""
    return torch.stack([F.interpolate(frame, size=size, mode="bilinear") for frame in x.unbind(2)], dim=2)


def pooled(x: Tensor) -> Tensor:
    return torch.stack([F.max_pool2d(frame, 2) for frame in x.unbind(2)], dim=2)


def mixed(weight: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("oi,nithw->nothw", weight[:, :, 0, 0, 0], x)


def overcomplete(w: dict[str, Tensor], s: Tensor) -> Tensor:
    _, _, _, height, width = s.shape
    first = resized(F.conv3d(s, w["encoder.0"], padding=1), (2 * height, 2 * width)).relu()
    second = resized(F.conv3d(first, w["encoder.1"], padding=1), (4 * height, 4 * width)).relu()
    third = resized(F.conv3d(second, w["encoder.2"], padding=1), (8 * height, 8 * width)).relu()
    back = pooled(F.conv3d(third, w["decoder.0"], padding=1)).relu() + mixed(w["skips.1"], second).relu()
    back = pooled(F.conv3d(back, w["decoder.1"], padding=1)).relu() + mixed(w["skips.0"], first).relu()
    return pooled(F.conv3d(back, w["decoder.2"], padding=1)).relu()


def undercomplete(w: dict[str, Tensor], s: Tensor) -> Tensor:
    halved = pooled(F.conv3d(s, w["encoder"], padding=1)).relu()
    return resized(F.conv3d(halved, w["decoder"], padding=1), s.shape[3:]).relu()


def weights(part: nn.Module) -> dict[str, Tensor]:
    return {key.removesuffix(".weight"): value for key, value in part.named_parameters()}


def literal(part: nn.Module, branches: str, x: Tensor) -> Tensor:
    s = mixed(part.reduce.weight, x).relu()
    first = undercomplete if branches == "u" else overcomplete
    total = first(weights(part.parts[0]), s)
    if branches == "both":
        u_branch, last, _ = part.parts[1]
        total = total + mixed(last.weight, undercomplete(weights(u_branch), s)).relu()
    return (x + mixed(part.outer.weight, mixed(part.expand.weight, total).relu())).relu()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("branches", ["both", "u", "o"])
def test_the_block_is_the_papers(branches, shape):
    part, x = block(branches), features(shape)
    torch.testing.assert_close(part(x), literal(part, branches, x))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_the_literal_block(shape):
    part, x = block(), features(shape).requires_grad_()
    ours = torch.autograd.grad(part(x).square().sum(), [x, *part.parameters()])
    theirs = torch.autograd.grad(literal(part, "both", x).square().sum(), [x, *part.parameters()])
    assert all(gradient.any() for gradient in ours)
    for gradient, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_the_input_is_left_alone():
    x = features((2, 4, 4)) - 0.5
    before = x.clone()
    block()(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({}, 687_360),
        ({"outer": "none"}, 621_824),
        ({"width": 8}, 223_040),
        ({"width": 8, "outer": "none"}, 157_504),
        # 3.6's formula: 2 C b of the first and last convolution, 108 b^2 of the U-branch, C^2 of the outer one.
        ({"branches": "u"}, 2 * 256 * 16 + 108 * 16**2 + 256**2),
    ],
)
def test_parameters_added_to_resnet18(fields, added):
    with torch.device("meta"):
        network = OUDefend(network=PAPER, **fields)(101)
    assert parameter_count(network) == 33_081_893 + added


def test_no_biases_and_no_batchnorm():
    assert [key for key in block().state_dict() if not key.endswith(".weight")] == []
    assert not any(isinstance(part, nn.BatchNorm3d) for part in block().modules())


def test_the_default_place_is_conv4():
    with torch.device("meta"):
        network = OUDefend(network=PAPER)(101)
        assert [name for name, _ in network.layer3.named_children()] == ["0", "1", "oudefend"]
        assert network(torch.empty(1, 3, 40, 112, 112)).shape == (1, 101)


def test_features_too_small_to_halve():
    with pytest.raises(PipelineError, match="after: OUDefend halves its features, and these are 1 x 4"):
        block()(features((2, 1, 4)))
