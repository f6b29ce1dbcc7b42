"""Shortcut "A", which has no parameters, on clips and on images."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.residual import SubsampledIdentity
from pipeline_lib.networks.resnet import ResNet2D, ResNet3D, ResNeXt3D


@pytest.mark.parametrize(("size", "after"), [((4, 5, 6), (2, 3, 3)), ((5, 6), (3, 3))], ids=["clips", "images"])
def test_shortcut_a_takes_every_second_position_and_adds_empty_channels(size, after):
    features = torch.rand(2, 3, *size)
    shortcut = SubsampledIdentity(3, 5, 2)(features)
    kept = features[:, :, ::2, ::2, ::2] if len(size) == 3 else features[:, :, ::2, ::2]
    assert torch.equal(shortcut[:, :3], kept)
    assert shortcut.shape == (2, 5, *after)
    assert not shortcut[:, 3:].any()


NETWORKS = {
    "video": (ResNet3D(depth=10, width=4, stages=3, shortcut="A", stem_kernel=3), (2, 3, 4, 16, 16)),
    "bottleneck": (ResNeXt3D(depth=50, width=4, cardinality=2, stages=2, shortcut="A"), (2, 3, 4, 16, 16)),
    "image": (ResNet2D(depth=18, width=4, stages=2, shortcut="A"), (2, 3, 16, 16)),
}


def input_gradient(network: nn.Module, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the gradient of the loss of class 0."""
    clips = clips.clone().requires_grad_()
    logits = network(clips)
    loss = F.cross_entropy(logits, torch.zeros(len(clips), dtype=torch.long))
    return logits, torch.autograd.grad(loss, clips)[0]


def downsampled_from_data(block: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """The authors' `downsample_basic_block`, as a hook of the shortcut: average pooling with a kernel of 1, and zeros;
    `out.data` has no gradient."""
    pool = {5: F.avg_pool3d, 4: F.avg_pool2d}[given[0].dim()]
    out = pool(given[0], kernel_size=1, stride=block.stride)
    zeros = torch.zeros(len(out), output.shape[1] - out.shape[1], *out.shape[2:])
    return torch.cat([out.data, zeros], dim=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_detached_shortcut_has_the_same_logits_and_the_gradient_of_the_authors_code(name):
    make, shape = NETWORKS[name]
    networks = []
    for detached in (False, True, False):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            networks.append(replace(make, detached=detached)(5).eval())
    ours, cut, authors = networks
    for part in authors.modules():
        if isinstance(part, SubsampledIdentity):
            part.register_forward_hook(downsampled_from_data)
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    (logits, right), (same, ours_cut), (_, theirs) = (input_gradient(net, clips) for net in (ours, cut, authors))
    assert torch.equal(logits, same)
    torch.testing.assert_close(ours_cut, theirs)
    assert (right.sign() == ours_cut.sign()).float().mean() < 0.9


def test_only_shortcut_a_can_be_detached():
    with pytest.raises(PipelineError, match="detached: only the shortcut"):
        ResNet3D(depth=10, detached=True)(5)
