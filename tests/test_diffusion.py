"""Purification by a diffusion model: the schedule's closed form, a perfect denoiser, random numbers and gradients."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline_lib.defenses.generators.denoising import Denoising
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.generators.diffusion import TIMES, Diffusion, DiffusionNetwork, reverse_times
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.transforms.bpda import transformed
from pipeline_lib.transforms.diffusion_purification import DiffusionPurification

SMALL = Diffusion(width=8, levels=2)
BETAS = torch.linspace(1e-4, 0.02, TIMES, dtype=torch.float64)
PRODUCTS = (1 - BETAS).cumprod(0)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class KnowsOneImage(nn.Module):
    """The exact noise prediction for data that is always one image."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self.image = image

    def forward(self, noisy: torch.Tensor, times: torch.Tensor) -> SimpleNamespace:
        product = PRODUCTS[times].float().view(-1, 1, 1, 1)
        return SimpleNamespace(sample=(noisy - product.sqrt() * (2 * self.image - 1)) / (1 - product).sqrt())


class PredictsNothing(nn.Module):
    def forward(self, noisy: torch.Tensor, times: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=torch.zeros_like(noisy))


@pytest.fixture
def network() -> DiffusionNetwork:
    pytest.importorskip("diffusers")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return SMALL(0).eval()


def purified(network: nn.Module, clips: torch.Tensor, *names: str, **how) -> torch.Tensor:
    transform = DiffusionPurification(generator=SMALL, **how).learned(network)
    with drawing(clip_generators(0, names)):
        return transformed(transform, clips)


def test_a_perfect_denoiser_returns_the_only_image_there_is(network):
    image, clips = 0.1 + 0.8 * uniform(1, 3, 8, 8), uniform(2, 3, 8, 8, seed=1)
    network.unet = KnowsOneImage(image)
    for how in ({"fraction": 0.1, "steps": 1}, {"fraction": 0.3, "steps": 6}):
        found = purified(network, clips, "a", "b", **how)
        torch.testing.assert_close(found, image.expand(2, -1, -1, -1), atol=1e-4, rtol=0)


def test_noise_is_added_by_the_schedule_and_a_perfect_denoiser_has_no_loss(network):
    images, times = uniform(2, 3, 8, 8), torch.tensor([0, 600])
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    product = PRODUCTS[times].float().view(-1, 1, 1, 1)
    expected = product.sqrt() * (2 * images - 1) + (1 - product).sqrt() * noise
    torch.testing.assert_close(network.noised(images, times, noise), expected)
    network.unet = KnowsOneImage(images[:1])
    same, labels = images[:1].expand(6, -1, -1, -1), torch.zeros(6, dtype=torch.long)

    def loss_of(model: nn.Module) -> float:
        made = Denoising().objective(model, same, labels, lambda name: clip_generators(0, list("abcdef")))
        return made.loss.item()

    assert loss_of(network) < 1e-4
    network.unet = PredictsNothing()
    assert loss_of(network) == pytest.approx(1.0, abs=0.1)  # the variance of the noise, a guess


@pytest.mark.parametrize(
    ("fraction", "steps", "times"), [(0.1, 1, [99]), (0.1, 5, [99, 79, 59, 39, 19]), (0.003, 3, [2, 1, 0])]
)
def test_a_fraction_of_the_diffusion_is_passed_backwards_from_its_last_time(fraction, steps, times):
    assert reverse_times(fraction, steps) == times


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_noise_added_is_that_of_the_fraction_for_any_number_of_steps(network, steps):
    """A denoiser that finds no noise returns the noisy image, scaled: what it was given is seen by its first time."""
    seen = []

    class Watches(PredictsNothing):
        def forward(self, noisy: torch.Tensor, times: torch.Tensor) -> SimpleNamespace:
            seen.append((times[0].item(), noisy.std().item()))
            return super().forward(noisy, times)

    network.unet = Watches()
    purified(network, torch.full((1, 3, 64, 64), 0.5), "a", fraction=0.2, steps=steps)
    assert seen[0][0] == 199
    assert seen[0][1] == pytest.approx((1 - PRODUCTS[199]).sqrt().item(), rel=0.02)
    assert len(seen) == steps


def test_more_steps_than_times_are_refused(network):
    with pytest.raises(PipelineError, match="5 steps are more than the 4 times of 0.004 of the diffusion"):
        purified(network, uniform(1, 3, 8, 8), "a", fraction=0.004, steps=5)


def test_draws_belong_to_a_clip_and_the_gradient_is_exact(network):
    clips = 0.3 + 0.4 * uniform(2, 3, 2, 8, 8)
    both = purified(network, clips, "a", "b")
    torch.testing.assert_close(purified(network, clips[1:], "b"), both[1:], atol=1e-5, rtol=0)
    assert torch.equal(purified(network, clips, "a", "b"), both)
    assert not torch.allclose(purified(network, clips, "c", "d"), both, atol=1e-3)
    exact = clips.double().requires_grad_()
    network.double()
    direction = torch.randn(clips.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad(purified(network, exact, "a", "b").sum(), exact)
    with torch.no_grad():
        ahead, behind = (purified(network, exact + step * direction, "a", "b").sum() for step in (1e-5, -1e-5))
    assert (gradient * direction).sum().item() == pytest.approx(((ahead - behind) / 2e-5).item(), rel=1e-3)


def test_fields_shape_the_network():
    pytest.importorskip("diffusers")
    unet = Diffusion(width=16, levels=3, blocks=1)(0).unet
    assert [len(part.resnets) for part in unet.down_blocks] == [1, 1, 1]
    assert [part.resnets[-1].out_channels for part in unet.down_blocks] == [16, 32, 32]
    assert unet.mid_block.attentions[0].heads == 32 / 8  # of 8 channels each


def test_the_output_is_the_mean_noise_at_the_first_time(network):
    images, image = uniform(2, 3, 4, 4), uniform(1, 3, 4, 4, seed=1)
    network.unet = KnowsOneImage(image)
    start = PRODUCTS[0].float()
    noise = (2 * images - 1 - start.sqrt() * (2 * image - 1)) / (1 - start).sqrt()
    torch.testing.assert_close(network(images), noise.mean((1, 2, 3))[:, None], rtol=1e-3, atol=1e-4)


def test_purified_images_stay_in_the_box_to_the_last_bit(network):
    """Also where all images that there are would be too bright, or too dark."""
    for level in (1.5, -0.5):
        network.unet = KnowsOneImage(torch.full((1, 3, 8, 8), level))
        found = purified(network, uniform(1, 3, 8, 8).double(), "a", fraction=0.1, steps=1)
        assert found.dtype == torch.double
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.mean().item() == pytest.approx(min(max(level, 0), 1), abs=1e-9)


def test_without_the_library_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(PipelineError, match="needs the library diffusers: pip install"):
        Diffusion()(0)
