"""PixelDefend and Defense-GAN: closed forms, bounds, and their gradients in attacks."""

import pytest
import torch
from torch import nn

from pipeline_lib.attacks.losses import expectation, loss_and_gradient
from pipeline_lib.defenses.generators.wasserstein import Wasserstein, gradient_penalty
from pipeline_lib.defenses.standard import Standard
from pipeline_lib.defenses.transformed import PreHook, Transformed
from pipeline_lib.errors import PipelineError
from pipeline_lib.networks.generators.pixelcnn import PixelCNN
from pipeline_lib.networks.generators.wgan import Wgan
from pipeline_lib.randomness.draws import drawing
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.transforms.defense_gan import DefenseGan
from pipeline_lib.transforms.pixel_defend import PixelDefend, most_probable
from pipeline_lib.transforms.projection import projected

SMALL_GAN = Wgan(size=8, latents=4, width=4)
SMALL_CNN = PixelCNN(width=4, blocks=1, mixtures=2)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Single pixels are too little work for several."""
    torch.set_num_threads(1)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def made(network) -> nn.Module:
    torch.manual_seed(0)
    return network(0).eval()


class Flat:
    """An autoregressive model of independent levels with probabilities that fall from 0 to 255."""

    def in_order(self, images, choose):
        found = torch.empty_like(images)
        for channel, row, column in torch.cartesian_prod(*map(torch.arange, images.shape[1:])).tolist():
            found[:, channel, row, column] = choose(row, column, channel, lambda levels: -levels / 10) / 255
        return found


@pytest.mark.parametrize("epsilon", [3 / 255, 16 / 255])
def test_pixel_defend_takes_the_most_probable_level_within_epsilon(epsilon):
    """Of probabilities that fall with the level, it is the lowest that is allowed; also for values between levels."""
    images = uniform(2, 3, 2, 3)
    lowest = torch.ceil((images - epsilon) * 255 - 1e-3).clamp(min=0) / 255
    assert torch.equal(most_probable(Flat(), images, epsilon), lowest)
    assert torch.equal(most_probable(Flat(), images.mul(255).round() / 255, 1e-3), images.mul(255).round() / 255)


@pytest.mark.parametrize("epsilon", [2 / 255, 16 / 255])
def test_pixel_defend_stays_in_its_ball_and_raises_the_likelihood(epsilon):
    network, images = made(SMALL_CNN), uniform(3, 3, 6, 5)
    found = most_probable(network, images, epsilon)
    assert ((found - images).abs().max() * 255).item() <= epsilon * 255 + 1e-3
    assert (found * 255 - (found * 255).round()).abs().max() < 1e-4
    assert (network.log_likelihood(found) > network.log_likelihood(images)).all()


def test_pixel_defend_of_clips_is_that_of_their_frames():
    transform = PixelDefend(generator=SMALL_CNN).learned(made(SMALL_CNN))
    clips = uniform(2, 3, 3, 5, 4)
    frames = torch.stack([transform(clips[:, :, frame]) for frame in range(3)], 2)
    torch.testing.assert_close(transform(clips), frames)


def test_the_projection_onto_a_linear_generator_is_that_of_least_squares():
    matrix, offset = uniform(12, 3), 0.2 + 0.2 * uniform(12, seed=1)
    matrix = 0.3 * torch.linalg.qr(matrix).Q

    def generate(latents: torch.Tensor) -> torch.Tensor:
        return (latents @ matrix.T + offset).view(-1, 3, 2, 2)

    images, first = uniform(5, 3, 2, 2, seed=2), torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(3))
    away = images.view(5, 12, 1) - offset[:, None]
    solved = torch.linalg.lstsq(matrix.expand(5, -1, -1), away).solution.squeeze(2)
    found = projected(generate, images, first, steps=150, step_size=20.0)
    torch.testing.assert_close(found, generate(solved).clamp(0, 1), atol=1e-4, rtol=0)


def test_an_image_of_the_generator_is_recovered_by_one_of_the_restarts():
    network = made(SMALL_GAN)
    with torch.no_grad():
        images = network.generate(torch.randn(3, 4, generator=torch.Generator().manual_seed(5)))
    first = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(6))
    several = projected(network.generate, images, first, steps=150, step_size=300.0)
    one = projected(network.generate, images, first[:, :1], steps=150, step_size=300.0)

    def error(found: torch.Tensor) -> torch.Tensor:
        return (found - images).square().flatten(1).mean(1)

    assert (error(several) < 0.05 * images.var(0).mean()).all()
    assert (error(several) <= error(one) + 1e-9).all()


def purifying(transform, network: nn.Module, backward: str = "bpda") -> nn.Module:
    """A linear network on 8 x 8 images behind a transform."""
    torch.manual_seed(1)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    extended = Transformed(transform=transform, defense=Standard(), backward=backward).extend(inner)
    extended.generator.block.load_state_dict(network.state_dict())
    return extended


CASES = [(PixelDefend(generator=SMALL_CNN), SMALL_CNN), (DefenseGan(generator=SMALL_GAN, steps=3), SMALL_GAN)]


@pytest.mark.parametrize(("transform", "network"), CASES)
def test_bpda_hands_the_gradient_through_and_none_cuts_it(transform, network):
    images = uniform(2, 3, 8, 8)
    with drawing(clip_generators(0, ["a", "b"])):
        for backward, expected in (("bpda", 1.0), ("none", 0.0)):
            model = purifying(transform, made(network), backward)
            _, gradient = loss_and_gradient(lambda clips, model=model: model(clips)[:, 0], images)
            torch.testing.assert_close(gradient, expected * model[1].weight[0].view(1, 3, 8, 8).expand(2, -1, -1, -1))


def test_eot_averages_over_the_latents_and_a_seed_gives_the_same_bytes():
    model, images = purifying(*CASES[1][:1], made(SMALL_GAN)), uniform(2, 3, 8, 8)

    def losses(draws: int) -> torch.Tensor:
        with drawing(clip_generators(0, ["a", "b"])), torch.no_grad():
            return torch.stack([model(images)[:, 0] for _ in range(draws)])

    with drawing(clip_generators(0, ["a", "b"])), torch.no_grad():
        mean = expectation(lambda clips: model(clips)[:, 0], 3)(images)
    torch.testing.assert_close(mean, losses(3).mean(0))
    assert torch.equal(losses(2), losses(2))
    assert not torch.equal(losses(2)[0], losses(2)[1])
    # Nor does it depend on the batch.
    with drawing(clip_generators(0, ["b"])), torch.no_grad():
        torch.testing.assert_close(model(images[1:])[:, 0], losses(1)[0, 1:])


@pytest.mark.parametrize(("transform", "network"), CASES)
def test_predictions_in_inference_mode_are_those_of_an_attack(transform, network):
    model, images = purifying(transform, made(network)), uniform(2, 3, 8, 8)
    with drawing(clip_generators(0, ["a", "b"])):
        attacked = model(images.clone().requires_grad_()).detach()
    with drawing(clip_generators(0, ["a", "b"])), torch.inference_mode():
        torch.testing.assert_close(model(images.clone()), attacked)


def test_a_generator_is_no_part_of_what_is_trained():
    model = purifying(*CASES[1][:1], made(SMALL_GAN))
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias"]
    assert any(name.startswith("generator.block.critic") for name in model.state_dict())
    assert isinstance(next(iter(model._forward_pre_hooks.values())), PreHook)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    real, fake, places = uniform(4, 3, 8, 8), uniform(4, 3, 8, 8, seed=1), uniform(4, 1, 1, 1, seed=2)
    direction = torch.randn(192, generator=torch.Generator().manual_seed(3))
    direction /= direction.norm()
    for slope in (1.0, 3.0):
        penalty = gradient_penalty(
            lambda images, slope=slope: images.flatten(1) @ (slope * direction), real, fake, places
        )
        torch.testing.assert_close(penalty, torch.full((4,), (slope - 1) ** 2), atol=1e-5, rtol=0)


def test_a_generator_of_images_goes_from_coarse_to_fine_and_its_critic_back():
    network = made(Wgan(size=32, latents=4, width=2))
    assert network.generate(torch.zeros(1, 4)).shape == (1, 3, 32, 32)

    def channels(part: nn.Module, kind: type) -> list[tuple[int, int]]:
        return [(layer.in_channels, layer.out_channels) for layer in part if isinstance(layer, kind)]

    assert channels(network.generator, nn.ConvTranspose2d) == [(8, 4), (4, 2), (2, 3)]
    assert channels(network.critic, nn.Conv2d) == [(3, 2), (2, 4), (4, 8)]
    assert {layer.negative_slope for layer in network.critic if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_generated_images_are_in_0_to_1_and_the_critic_sees_them_as_they_were_made():
    network, between = made(SMALL_GAN), torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    network.generator, network.critic = nn.Identity(), nn.Identity()
    assert network.generate(between).flatten().tolist() == [0, 0.5, 1]
    assert torch.equal(network(network.generate(between)), between)


def test_a_gan_of_another_size_is_refused():
    with pytest.raises(PipelineError, match="images of 8, 16, 32, ... pixels; size is 20"):
        Wgan(size=20)(0)
    with pytest.raises(PipelineError, match="size is 4"):
        Wgan(size=4)(0)
    draw = lambda name: clip_generators(0, ["a"])  # noqa: E731
    with pytest.raises(PipelineError, match=r"makes images of \(3, 8, 8\), and the clips are \(3, 16, 16\)"):
        Wasserstein().objective(made(SMALL_GAN), uniform(1, 3, 16, 16), torch.zeros(1).long(), draw)
    model = purifying(*CASES[1][:1], made(SMALL_GAN))
    with drawing(clip_generators(0, ["a"])), pytest.raises(PipelineError, match="makes images of 8 x 8"):
        model(uniform(1, 3, 16, 16))
