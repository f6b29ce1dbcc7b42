"""The first convolution as a GPU computes it, against torch's own on the CPU."""

import pytest
import torch
import torch.nn.functional as F

from pipeline_lib.networks.stem import Stem3d, folded


def results(function, clips: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Values, and the gradients to clips and weight."""
    leaves = clips.clone().requires_grad_(), weight.clone().requires_grad_()
    found = function(*leaves)
    along = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=found.dtype)
    return found.detach(), *torch.autograd.grad((found * along).sum(), leaves)


@pytest.mark.parametrize("stride", [(1, 2, 2), (1, 1, 1), (2, 2, 2), (2, 4, 4), (1, 3, 2)])
@pytest.mark.parametrize(
    ("kernel", "padding"), [((7, 7, 7), (3, 3, 3)), ((3, 3, 3), (1, 1, 1)), ((3, 7, 7), (1, 3, 3))]
)
@pytest.mark.parametrize("size", [(8, 14, 12), (7, 9, 11)])
def test_folding_is_torchs_convolution_in_values_and_gradients(stride, kernel, padding, size):
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 3, *size, generator=generator, dtype=torch.double)
    weight = torch.randn(5, 3, *kernel, generator=generator, dtype=torch.double)
    found = results(lambda x, w: folded(x, w, stride, padding), clips, weight)
    expected = results(lambda x, w: F.conv3d(x, w, None, stride, padding), clips, weight)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_folding_has_the_gradient_to_the_clips_of_a_frozen_weight():
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 3, 4, 6, 6, generator=generator, dtype=torch.double).requires_grad_()
    weight = torch.randn(5, 3, 3, 3, 3, generator=generator, dtype=torch.double)
    found, expected = (
        torch.autograd.grad(function(clips, weight).square().sum(), clips)
        for function in (
            lambda x, w: folded(x, w, (1, 2, 2), (1, 1, 1)),
            lambda x, w: F.conv3d(x, w, None, (1, 2, 2), 1),
        )
    )
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_the_layer_is_torchs():
    clips = torch.randn(2, 3, 8, 14, 12, generator=torch.Generator().manual_seed(0))
    layer = Stem3d(3, 5, 7, (1, 2, 2), 3, bias=False)
    assert layer(clips).equal(F.conv3d(clips, layer.weight, None, (1, 2, 2), 3))


@pytest.mark.gpu
@pytest.mark.parametrize("frozen", [False, True])
def test_a_gpu_computes_what_the_cpu_does_and_the_same_twice(frozen):
    layer = Stem3d(3, 16, 7, (1, 2, 2), 3, bias=False).double().requires_grad_(not frozen)
    clips = torch.rand(2, 3, 8, 28, 28, dtype=torch.double, generator=torch.Generator().manual_seed(0))

    def gradient(device: str) -> torch.Tensor:
        leaf = clips.to(device).requires_grad_()
        return torch.autograd.grad(layer.to(device)(leaf).square().sum(), leaf)[0].cpu()

    torch.testing.assert_close(gradient("cuda"), gradient("cpu"), rtol=1e-10, atol=1e-10)
    assert gradient("cuda").equal(gradient("cuda"))
