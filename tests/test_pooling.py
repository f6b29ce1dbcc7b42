"""The pooling that a GPU takes, against torch's own on the CPU."""

import pytest
import torch
import torch.nn.functional as F

from pipeline_lib.networks.pooling import MaxPool3d, halved, max_pool


def with_gradient(function, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = features.clone().requires_grad_()
    pooled = function(leaf)
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1), dtype=pooled.dtype)
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), leaf)
    return pooled.detach(), gradient


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 1), (7, 3, 3)])
@pytest.mark.parametrize("size", [(8, 9, 7), (3, 3, 3), (5, 6, 8)])
def test_the_own_gradient_is_torchs(kernel, stride, padding, size):
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    found = with_gradient(lambda x: max_pool(x, kernel, stride, padding), features)
    expected = with_gradient(lambda x: F.max_pool3d(x, kernel, stride, padding), features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_the_first_of_equal_values_takes_the_gradient_as_in_torch():
    features = torch.randint(3, (2, 3, 8, 9, 7), generator=torch.Generator().manual_seed(0)).double()
    found = with_gradient(lambda x: max_pool(x, 3, 2, 1), features)
    expected = with_gradient(lambda x: F.max_pool3d(x, 3, 2, 1), features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_layer_is_torchs_to_the_last_bit_on_a_cpu(stride):
    features = torch.randn(2, 3, 8, 9, 7, generator=torch.Generator().manual_seed(0))
    found = with_gradient(MaxPool3d(3, stride=stride, padding=1), features)
    expected = with_gradient(lambda x: F.max_pool3d(x, 3, stride, 1), features)
    assert all(own.equal(of_torch) for own, of_torch in zip(found, expected, strict=True))


def test_halved_is_torchs_within_each_frame():
    features = torch.randn(2, 3, 4, 7, 6, generator=torch.Generator().manual_seed(0))
    assert halved(features).equal(F.max_pool3d(features, (1, 2, 2)))


@pytest.mark.gpu
def test_a_gpu_gives_the_same_gradient_twice():
    features = torch.randn(4, 16, 8, 28, 28, device="cuda")
    layer = MaxPool3d(3, stride=2, padding=1)
    torch.set_deterministic_debug_mode("error")
    try:
        leaf = features.requires_grad_()
        first, second = (torch.autograd.grad(layer(leaf).square().sum(), leaf)[0] for _ in range(2))
    finally:
        torch.set_deterministic_debug_mode("default")
    assert first.equal(second)
