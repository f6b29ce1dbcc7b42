"""Objectives of generators, in closed form: with a linear critic, and generators that make known images."""

import pytest
import torch
from torch import nn

from pipeline_lib.defenses.generators.denoising import Denoising
from pipeline_lib.defenses.generators.wasserstein import (
    BATCHES,
    CRITIC,
    EVERY,
    GENERATOR,
    PROJECTED,
    Wasserstein,
    distance,
    generated_score,
    gradient_penalty,
)
from pipeline_lib.defenses.update import Figures
from pipeline_lib.randomness.generators import clip_generators
from pipeline_lib.records.selectors import GENERATOR_GUESS, GENERATOR_LOSS

SIZE = 4


class Gan(nn.Module):
    """Scores are linear in the pixels; every latent makes the same gray image."""

    size, latents = SIZE, 2

    def __init__(self, gray: float = 0.25) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * SIZE * SIZE, generator=torch.Generator().manual_seed(0)))
        self.gray = gray

    def forward(self, images):
        return (images.flatten(1) @ self.weight)[:, None]

    def generate(self, latents):
        return (self.gray + 0 * latents.sum(1)).view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE)


def images(count: int) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def draw(name: str):
    return clip_generators(0, [f"{number}{name}" for number in range(3)])


def test_the_critics_loss_is_that_of_a_linear_critic():
    gan, real = Gan(), images(3)
    scores, made = gan(real).mean(), gan(torch.full_like(real, gan.gray)).mean()
    penalty = (gan.weight.norm() - 1) ** 2
    for weight in (0.0, 10.0):
        found = Wasserstein(penalty=weight).objective(gan, real, torch.zeros(3), draw)
        torch.testing.assert_close(found.loss, made - scores + weight * penalty)


def test_a_critic_answers_by_what_is_above_the_middle_of_both_means():
    gan, real = Gan(), images(3)
    found = Wasserstein().objective(gan, real, torch.zeros(3), draw)
    assert found.labels.tolist() == [1, 1, 1, 0, 0, 0]
    torch.testing.assert_close(found.logits.sum(0), torch.zeros(2), atol=1e-4, rtol=0)
    apart = gan(real).mean() - gan(torch.full_like(real, gan.gray)).mean()
    torch.testing.assert_close(found.logits[:3, 1].mean() - found.logits[3:, 1].mean(), apart)
    torch.testing.assert_close(found.logits[:, 0], -found.logits[:, 1])


def test_the_penalty_changes_the_critics_weights():
    gan = Gan()
    gradient_penalty(gan, images(2), images(2).flip(0), torch.rand(2, 1, 1, 1)).sum().backward()
    norm = gan.weight.detach().norm()
    torch.testing.assert_close(gan.weight.grad, 2 * 2 * (norm - 1) * gan.weight.detach() / norm)


def test_the_generator_raises_the_score_of_what_it_makes():
    gan, real = Gan(), images(3)
    found = generated_score(gan, real, torch.zeros(3), draw)
    score = gan(torch.full_like(real, gan.gray)).mean()
    torch.testing.assert_close(found.loss, -score)
    assert found.labels.tolist() == [1, 1, 1]
    torch.testing.assert_close(found.logits, score * torch.tensor([[-1.0, 1.0]]).expand(3, 2))


def test_the_distance_is_that_of_eight_images_and_a_guess_is_the_mean_image():
    real = images(PROJECTED + 2)
    found = distance(Gan(), real)
    torch.testing.assert_close(found[GENERATOR_LOSS], (real[:PROJECTED] - 0.25).square().mean())
    torch.testing.assert_close(found[GENERATOR_GUESS], (real - real.mean(0)).square().mean())


class Recorded:
    """An update that records what a step does, and finds the figures of a generator that improves."""

    def __init__(self, gan: Gan) -> None:
        self.network, self.memory, self.done, self.measured = gan, {}, [], 0

    def gradients(self, objective):
        found = objective(self.network, images(3), torch.zeros(3), draw)
        self.measured += bool(found.figures)
        return Figures(found.loss.item(), 50.0, {name: value.item() for name, value in found.figures.items()})

    def descend(self, name):
        self.done.append(name)


def test_a_step_is_several_of_the_critic_and_one_of_the_generator_measured_in_every_tenth_batch():
    update = Recorded(Gan())
    for batch in range(EVERY + 1):
        update.network.gray = 0.25 if batch < EVERY else 0.5
        figures = Wasserstein(critic_steps=2).step(update)
        assert update.memory[BATCHES].item() == batch + 1
        error = (images(3) - (0.25 if batch < EVERY else 0.5)).square().mean().item()
        assert figures.others[GENERATOR_LOSS] == pytest.approx(error, rel=1e-5)
    assert update.done == [CRITIC, CRITIC, GENERATOR] * (EVERY + 1)
    assert update.measured == 2


class Noised(nn.Module):
    """Predicts a multiple of the noise that it was given."""

    def __init__(self, factors: list[float]) -> None:
        super().__init__()
        self.factors = torch.tensor(factors)

    def noised(self, pictures, times, noise):
        self.times, self.noise = times, noise
        return noise

    def predicted(self, noised, times):
        return noised * self.factors.view(-1, 1, 1, 1)


def test_denoising_is_the_mean_squared_error_of_the_noise():
    """Videos of two frames, each with the time of its clip and with its own noise."""
    network, clips = Noised([0, 0, 0.5, 0.5, 3, 3]), torch.rand(3, 3, 2, SIZE, SIZE)
    found = Denoising().objective(network, clips, torch.tensor([4, 4, 4]), draw)
    squares = network.noise.square().flatten(1).mean(1).view(3, 2).mean(1)
    errors = squares * torch.tensor([1, 0.25, 4])
    torch.testing.assert_close(found.loss, errors.mean())
    torch.testing.assert_close(found.logits, torch.stack([1 - errors, errors - 1], 1))
    assert found.labels.tolist() == [0, 0, 0]
    assert found.figures[GENERATOR_LOSS] == found.loss
    assert found.figures[GENERATOR_GUESS] == 1
    times = [torch.randint(1000, (1,), generator=of_clip).item() for of_clip in draw("noise")]
    assert network.times.tolist() == [time for time in times for _ in range(2)]
    assert not torch.equal(network.noise[0], network.noise[1])
    alone = Denoising().objective(Noised([0.0]), clips[:1, :, 0], torch.tensor([4]), lambda name: draw(name)[:1])
    assert alone.figures[GENERATOR_GUESS] == 1
