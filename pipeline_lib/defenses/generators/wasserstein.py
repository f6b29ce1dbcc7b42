"""WGAN-GP: a generator against a critic with a penalty on its gradient (Gulrajani et al., NeurIPS 2017)."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline_lib.defenses.objective import Draw, Objective
from pipeline_lib.defenses.update import Figures, MakeOptimizer, Update
from pipeline_lib.entries.ranges import Count, NonNegative, method
from pipeline_lib.errors import PipelineError
from pipeline_lib.randomness.noise import noise_like
from pipeline_lib.records.selectors import GENERATOR_GUESS, GENERATOR_LOSS
from pipeline_lib.transforms.projection import normal_latents, projected

GENERATOR, CRITIC = "generator", "critic"
# Of the figures: how near the generator comes to some images of a batch from the latents at 0, every so many batches.
PROJECTED, STEPS, STEP_SIZE, EVERY = 8, 20, 100.0, 10
FIGURES, BATCHES = "figures", "batches"  # in the memory between steps


@method
class Wasserstein:
    """Algorithm 1 of the paper: `critic_steps` steps of the critic, then one of the generator, on each batch.

    critic: minimizes D(G(z)) - D(x) + penalty (|grad D(x')| - 1)^2, x' between x and G(z) at a uniform place.
    generator: minimizes -D(G(z)).
    Each of the critic's steps has latents of its own; the paper also draws a new batch of images for each.

    Figures of the history: the squared error of Defense-GAN's projections of eight images (20 steps, in every tenth
    batch), and that of the batch's mean image, a guess. The accuracy is the critic's: 50 if it cannot distinguish
    images from generated ones.

    critic_steps: of each batch.
    penalty: weight of the gradient penalty.
    """

    generates: ClassVar[str] = "images of latents"
    # A step of the critic is 13 forward passes: G, D of two batches and its gradient between them, and back; G's is 6,
    # and the figures are 3. A pass for the weights is 3.
    examples: ClassVar[str] = "(13 * critic_steps + 9) / 3"

    critic_steps: Count = 5
    penalty: NonNegative = 10.0

    def extend(self, network: nn.Module) -> nn.Module:
        return network

    def optimizers(self, network: Any, make: MakeOptimizer) -> dict[str, torch.optim.Optimizer]:
        return {GENERATOR: make(network.generator.parameters()), CRITIC: make(network.critic.parameters())}

    def objective(self, network: Any, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
        """The critic's loss."""
        return self._criticism(network, clips, draw, CRITIC)

    def step(self, update: Update) -> Figures:
        for number in range(self.critic_steps):
            figures = update.gradients(self._critic(f"{CRITIC} {number}"))
            update.descend(CRITIC)
        others = self._generator_step(update)
        return Figures(figures.loss, figures.accuracy, others)

    def _generator_step(self, update: Update) -> dict[str, float]:
        """Figures of the generator: new ones, or those of an earlier batch."""
        memory = update.memory
        batches = int(memory.get(BATCHES, torch.tensor(0)))
        made = update.gradients(generated_score if batches % EVERY else measured_score)
        update.descend(GENERATOR)
        if made.others:
            memory[FIGURES] = torch.tensor([made.others[name] for name in (GENERATOR_LOSS, GENERATOR_GUESS)])
        memory[BATCHES] = torch.tensor(batches + 1)
        return dict(zip((GENERATOR_LOSS, GENERATOR_GUESS), memory[FIGURES].tolist(), strict=True))

    def _critic(self, name: str) -> Callable[[Any, Tensor, Tensor, Draw], Objective]:
        return lambda network, clips, labels, draw: self._criticism(network, clips, draw, name)

    def _criticism(self, network: Any, clips: Tensor, draw: Draw, name: str) -> Objective:
        real, generators = images_of(network, clips), draw(name)
        with torch.no_grad():
            made = network.generate(latents_of(network, real, generators))
        places = noise_like(real[:, :1, :1, :1], generators, lambda place, g: place.uniform_(generator=g))
        penalty = gradient_penalty(network, real, made, places)
        real_scores, made_scores = network(real).squeeze(1), network(made).squeeze(1)
        loss = (made_scores - real_scores + self.penalty * penalty).mean()
        middle = (real_scores.mean() + made_scores.mean()) / 2
        scores = torch.cat([real_scores, made_scores]) - middle
        labels = torch.cat([torch.ones_like(real_scores), torch.zeros_like(made_scores)]).long()
        return Objective(loss, torch.stack([-scores, scores], 1), labels)


def generated_score(network: Any, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
    """The generator's objective: the negative score of what it makes."""
    scores = network(network.generate(latents_of(network, clips, draw(GENERATOR)))).squeeze(1)
    return Objective(-scores.mean(), torch.stack([-scores, scores], 1), torch.ones_like(scores).long())


def measured_score(network: Any, clips: Tensor, labels: Tensor, draw: Draw) -> Objective:
    """The generator's objective, with its figures."""
    figures = distance(network, images_of(network, clips))
    return generated_score(network, clips, labels, draw)._replace(figures=figures)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, places: Tensor) -> Tensor:
    """(N,): (|grad critic| - 1)^2 at real + places * (made - real), differentiable in the critic's weights."""
    with torch.enable_grad():
        between = real.lerp(made, places).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1) ** 2


def distance(network: Any, images: Tensor) -> dict[str, Tensor]:
    """Mean squared errors of some images' projections, and of the mean image."""
    some = images[:PROJECTED]
    first = images.new_zeros(len(some), 1, network.latents)
    nearest = projected(network.generate, some, first, steps=STEPS, step_size=STEP_SIZE)
    return {GENERATOR_LOSS: (nearest - some).square().mean(), GENERATOR_GUESS: images.var(0, unbiased=False).mean()}


def latents_of(network: Any, images: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """(N, latents): normal, from one generator per image."""
    return normal_latents(images, (network.latents,), generators)


def images_of(network: Any, clips: Tensor) -> Tensor:
    """The images of a batch. Raises PipelineError for videos and for images of another size than the generator's."""
    images = clips.squeeze(2) if clips.dim() == 5 else clips
    size = (3, network.size, network.size)
    if images.shape[1:] != size:
        raise PipelineError(f"the generator makes images of {size}, and the clips are {tuple(images.shape[1:])}")
    return images
