"""Attacks in bfloat16: what is rounded, what is not, and that a network is left as it was."""

import pytest
import torch
from torch import nn

from pipeline_lib.attacks.ascent import Ascent
from pipeline_lib.attacks.losses import attacking, cross_entropy, in_bfloat16, loss_and_gradient
from pipeline_lib.networks.resnet import ResNet3D
from test_ascent_options import CLIPS, PGD, generators


@pytest.mark.parametrize(("precision", "kind"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_is_that_of_the_passes_only(precision, kind):
    seen = []
    layer = nn.Conv3d(3, 4, 3)

    def loss(clips):
        seen.append((clips.dtype, layer(clips).dtype))
        return layer(clips).square().mean((1, 2, 3, 4))

    with attacking(layer):
        clips = CLIPS.repeat(1, 1, 2, 1, 1)
        found = Ascent(perturbation=PGD, steps=2, precision=precision)(loss, clips, generators())
    assert seen == [(torch.float32, kind)] * 2
    assert found.dtype == torch.float32
    assert (found - clips).abs().max() <= 8 / 255 + 1e-6


def test_bfloat16_finds_nearly_the_same_clips():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResNet3D(depth=10, width=8, stages=2, stem_kernel=3, stem_pool=False)(5)
    loss = cross_entropy(network, torch.tensor([0, 1, 2, 3]))
    with attacking(network):
        exact, rounded = (
            Ascent(perturbation=PGD, steps=5, precision=precision)(loss, CLIPS, generators())
            for precision in ("fp32", "bf16")
        )
        gain, other = ((loss(found) - loss(CLIPS)) for found in (exact, rounded))
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(other, gain, rtol=0.1, atol=0)


def rounded_and_autocast(network, clips):
    """What a network says in bfloat16: with weights rounded once, and as autocast does it."""
    found = []
    for precision in ("bf16", "fp32"):
        with attacking(network, precision), torch.autocast("cpu", torch.bfloat16):
            found.append(network(clips))
    return found


def test_weights_rounded_once_are_those_that_autocast_rounds():
    layers = nn.Sequential(nn.Conv3d(2, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 5))
    once, always = rounded_and_autocast(layers, torch.rand(4, 2, 5, 9, 9))
    assert once.dtype == torch.bfloat16
    assert torch.equal(once, always)


def test_a_fourth_channel_of_zeros_changes_nothing_but_the_order_of_sums():
    stem = nn.Conv3d(3, 64, 7, (1, 2, 2), 3)
    once, always = rounded_and_autocast(stem, CLIPS)
    torch.testing.assert_close(once, always)
    with attacking(stem, "bf16"):
        _, gradient = loss_and_gradient(in_bfloat16(lambda clips: stem(clips).square().sum((1, 2, 3, 4))), CLIPS)
    assert gradient.shape == CLIPS.shape


@pytest.mark.parametrize(
    ("kind", "options", "shape"),
    [
        (nn.Conv3d, {"in_channels": 3}, (6, 4, 3, 3, 3)),
        (nn.Conv3d, {"in_channels": 4}, (6, 4, 3, 3, 3)),
        (nn.Conv3d, {"in_channels": 3, "groups": 3}, (6, 1, 3, 3, 3)),
        (nn.Conv3d, {"in_channels": 6, "groups": 2}, (6, 3, 3, 3, 3)),
        (nn.Conv2d, {"in_channels": 3}, (6, 3, 3, 3)),
    ],
    ids=["stem", "four channels", "depthwise", "groups", "images"],
)
def test_only_the_stem_of_a_video_network_gets_a_fourth_channel(kind, options, shape):
    layer = kind(out_channels=6, kernel_size=3, **options)
    with attacking(layer, "bf16"):
        assert layer.weight.shape == shape
    clips = torch.rand(2, layer.in_channels, *[5] * (len(shape) - 2), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(*rounded_and_autocast(layer, clips))


def test_a_norm_that_lies_inside_of_a_linear_layer_is_not_rounded_with_it():
    layer = nn.Linear(4, 4)
    layer.norm = nn.LayerNorm(4)
    with attacking(layer, "bf16"):
        assert [layer.weight.dtype, layer.norm.weight.dtype] == [torch.bfloat16, torch.float32]


def test_a_network_attacked_in_bfloat16_is_left_as_it_was():
    network = ResNet3D(depth=10, width=8, stages=2)(5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(KeyError), attacking(network, "bf16"), attacking(network, "bf16"):
        assert network.conv1.weight.dtype == torch.bfloat16
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.conv1._forward_pre_hooks
