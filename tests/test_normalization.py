"""Normalization inside a network: the same as outside, and no part of the weights."""

import copy

import pytest
import torch

from pipeline_lib.configuration.entries import resolve
from pipeline_lib.entries.building import build
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.multi_batchnorm import branch_out, through
from pipeline_lib.networks.normalization import ChannelNormalization
from pipeline_lib.networks.resnet import ResNet2D, ResNet3D, ResNeXt3D, WideResNet3D
from pipeline_lib.networks.torchvision_networks import TorchvisionR3D18

MEAN, STD = [0.4, 0.3, 0.2], [0.5, 0.25, 2.0]
NORMALIZATION = ChannelNormalization(mean=MEAN, std=STD)
SMALL = {"depth": 10, "width": 4, "stem_kernel": 3, "stem_pool": False, "stages": 1}
NETWORKS = {
    "2D": (ResNet2D, SMALL, (2, 3, 1, 12, 12)),
    "2D images": (ResNet2D, SMALL, (2, 3, 12, 12)),
    "3D": (ResNet3D, SMALL, (2, 3, 4, 12, 12)),
    "wide": (WideResNet3D, SMALL, (2, 3, 4, 12, 12)),
    "resnext": (ResNeXt3D, SMALL | {"cardinality": 2}, (2, 3, 4, 12, 12)),
    "torchvision": (TorchvisionR3D18, {}, (1, 3, 4, 16, 16)),
}


def normalized(clips: torch.Tensor) -> torch.Tensor:
    """Channel by channel, by hand."""
    channels = [(clips[:, i] - MEAN[i]) / STD[i] for i in range(3)]
    return torch.stack(channels, dim=1)


def pair(method, fields):
    """A network without and with normalization, of the same weights; loading is strict in both directions."""
    plain, inside = method(**fields)(5).eval(), method(**fields, normalization=NORMALIZATION)(5).eval()
    inside.load_state_dict(plain.state_dict())
    plain.load_state_dict(inside.state_dict())
    return plain, inside


@pytest.mark.parametrize("name", NETWORKS)
def test_it_equals_normalizing_outside(name):
    method, fields, shape = NETWORKS[name]
    plain, inside = pair(method, fields)
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = plain(normalized(clips))
        assert not torch.allclose(plain(clips), expected)
        torch.testing.assert_close(inside(clips), expected)


def test_it_survives_copies_and_branches_and_passes_the_gradient():
    plain, inside = pair(*NETWORKS["3D"][:2])
    clips = torch.rand(NETWORKS["3D"][2], generator=torch.Generator().manual_seed(0))
    expected = plain(normalized(clips))
    torch.testing.assert_close(copy.deepcopy(inside)(clips), expected)
    torch.testing.assert_close(through(branch_out(inside, ["clean"]), "clean")(clips), expected)
    own, outer = clips.clone().requires_grad_(), clips.clone().requires_grad_()
    inside(own).sum().backward()
    plain(normalized(outer)).sum().backward()
    torch.testing.assert_close(own.grad, outer.grad)


def test_it_moves_with_the_network():
    network = ResNet3D(**SMALL, normalization=NORMALIZATION)(5).double()
    assert network(torch.rand(NETWORKS["3D"][2], dtype=torch.float64)).dtype == torch.float64


def test_the_kinetics_values_take_off_means_on_the_scale_of_255():
    """The example of docs/configuration/networks.md against what Hara et al. did to their inputs."""
    entry = {"method": "resnet_3d", **SMALL}
    means = ["114.7748/255", "107.7354/255", "99.4750/255"]
    entry["normalization"] = {"method": "channel_normalization", "mean": means, "std": ["1/255"] * 3}
    network = build(resolve("networks.kinetics", entry, {}))(5)
    pixels = torch.randint(0, 256, (1, 3, 2, 4, 4)).float()
    expected = pixels - torch.tensor([114.7748, 107.7354, 99.4750]).view(3, 1, 1, 1)
    torch.testing.assert_close(network.normalization(pixels / 255), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": [0.5], "std": STD}, r"normalization.mean is \[0.5\]: give three numbers"),
        ({"mean": MEAN, "std": [1.0] * 4}, "normalization.std is .*: give three numbers"),
        ({"mean": MEAN, "std": [1.0, 0.0, 1.0]}, "normalization.std is .*: give numbers above 0"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(PipelineError, match=message):
        ChannelNormalization(**fields)
