"""The autoregressive generator: causal, normalized, and the same pixel by pixel as all at once."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline_lib.defenses.generators.maximum_likelihood import MaximumLikelihood
from pipeline_lib.networks.generators.logistic_mixture import LEVELS, Mixture, discretized_logistic
from pipeline_lib.networks.generators.pixelcnn import PixelCNN

ALL = torch.arange(float(LEVELS)).expand(2, LEVELS)
HEIGHT, WIDTH = 5, 6


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Single pixels are too little work for several."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return PixelCNN(width=8, blocks=2, mixtures=3)(0)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (2, 0), (2, 3), (4, 5)])
def test_a_pixel_depends_on_the_ones_before_it_only(network, images, row, column):
    values = (2 * images - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(network.parameters_of(values)[:, :, row, column].abs().sum(), values)
    moved = gradient.abs().sum((0, 1)).flatten()
    here = row * WIDTH + column
    assert moved[here:].abs().max() == 0
    # There is no blind spot: the nearest ones all count, up to the right of the row above.
    near = [(row, column - 1), (row - 1, column - 1), (row - 1, column), (row - 1, column + 1), (row - 2, column)]
    inside = [r * WIDTH + c for r, c in near if r >= 0 and 0 <= c < WIDTH]
    assert (moved[inside] > 0).all()


def test_the_stacks_are_shifted_convolutions_of_the_whole_image(images):
    """Margins are of the left, the right, the top and the bottom; a negative one cuts pixels off."""
    torch.manual_seed(0)
    network = PixelCNN(width=4, blocks=1, mixtures=1)(0)

    def gated(block, features, margins, offset=0.0):
        a, b = (block.convolution(F.pad(F.elu(features), margins)) + offset).chunk(2, 1)
        return features + a * torch.sigmoid(b)

    pixels = torch.cat([2 * images - 1, torch.ones(2, 1, HEIGHT, WIDTH)], 1)
    above = network.first_above(F.pad(pixels, (1, 1, 2, -1)))
    left = network.first_left(F.pad(pixels, (2, -1, 0, 0))) + network.offsets[0](F.elu(above))
    above = gated(network.above[0], above, (1, 1, 1, 0))
    left = gated(network.left[0], left, (1, 0, 1, 0), network.offsets[1](F.elu(above)))
    torch.testing.assert_close(network.parameters_of(2 * images - 1), network.last(F.elu(left)))


def test_the_likelihood_depends_on_every_parameter(network, images):
    gradients = torch.autograd.grad(network.log_likelihood(images).sum(), list(network.parameters()))
    assert all(gradient.any() for gradient in gradients)


def test_the_mean_of_a_channel_depends_on_those_before_it():
    """Equation 3 of the paper, of one component."""
    means, couplings = torch.tensor([[0.1], [0.2], [0.3]]), torch.tensor([[0.5], [-0.25], [0.75]])
    mixture = Mixture(torch.zeros(1), means, torch.zeros(3, 1), couplings)
    red, green = -0.4, 0.8
    found = [mixture.mean(channel, torch.tensor([red, green][:channel])).item() for channel in range(3)]
    assert found == pytest.approx([0.1, 0.2 + 0.5 * red, 0.3 - 0.25 * red + 0.75 * green])


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_probabilities_of_all_levels_sum_to_one(channel):
    generator = torch.Generator().manual_seed(channel)
    mixture = Mixture.of(3 * torch.randn(2, 4 * 10, generator=generator))
    before = torch.rand(2, channel, generator=generator) * 2 - 1
    each = mixture.log_probabilities(channel, before, ALL).exp().sum(1)
    torch.testing.assert_close(each, torch.ones(2, 4))


def test_the_mass_of_a_level_is_the_difference_of_the_logistic_distribution():
    """In float64, by the formula of the paper."""
    mean, log_scale, levels = 0.1, -2.0, np.arange(256)
    edges = ((levels + 0.5) / 127.5 - 1 - mean) / math.exp(log_scale)
    cumulative = np.concatenate([[0.0], 1 / (1 + np.exp(-edges[:-1])), [1.0]])
    found = discretized_logistic(torch.arange(256.0), torch.tensor(mean), torch.tensor(log_scale)).exp()
    np.testing.assert_allclose(found.numpy(), np.diff(cumulative), atol=1e-6)


def test_channels_of_a_pixel_have_one_component():
    """Two components at 0 and at 1 for every channel: the second channel follows the first."""
    parameters = torch.zeros(10, 2)
    parameters[1:4] = torch.tensor([-0.9, 0.9])
    parameters[4:7] = -5.0
    mixture = Mixture.of(parameters.flatten())
    levels = torch.tensor([[13.0, 13, 13], [242, 242, 242], [13, 242, 13]])
    same, other, mixed = mixture.log_likelihood(levels).tolist()
    assert same == pytest.approx(other, abs=1e-3)
    assert mixed < same - 50


def test_in_order_each_level_has_the_probability_of_the_whole_pass(network, images):
    """Every level's conditional probability, summed, is the likelihood of the image."""
    total = torch.zeros(2)

    def choose(row, column, channel, log_probabilities):
        nonlocal total
        level = (images[:, channel, row, column] * 255).round()
        assert log_probabilities(ALL).logsumexp(1).abs().max() < 1e-5
        total = total + log_probabilities(level[:, None])[:, 0]
        return level

    found = network.in_order(images, choose)
    assert torch.equal(found, (images * 255).round() / 255)
    torch.testing.assert_close(total, network.log_likelihood(images), rtol=1e-4, atol=1e-2)


def test_the_loss_is_in_bits_per_value(network, images):
    """Of videos, the frames are images."""
    clips, labels = images.unsqueeze(2).expand(-1, -1, 3, -1, -1), torch.zeros(2, dtype=torch.long)
    bits = -network.log_likelihood(images).mean() / math.log(2) / (3 * HEIGHT * WIDTH)
    for given in (images, clips):
        found = MaximumLikelihood().objective(network, given, labels, lambda name: [])
        torch.testing.assert_close(found.loss, bits)
        assert found.figures["generator_guess"] == 8
        each = -network(images)[:, 0] / math.log(2)
        torch.testing.assert_close(found.logits, torch.stack([8 - each, each - 8], 1))


def test_one_image_alone_has_the_likelihood_that_it_has_beside_others(network, images):
    torch.testing.assert_close(network(images[:1]), network(images)[:1], rtol=1e-4, atol=1e-5)
    found = MaximumLikelihood().objective(network, images[:1], torch.zeros(1).long(), lambda name: [])
    torch.testing.assert_close(found.loss, -network(images[:1]).mean() / math.log(2))
