"""Tiny networks and attacks for tests of the check: sound evaluations, and faulty ones of each planted kind."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.attacks import AdditiveLinf, Ascent, UniformNoise, craft

CLASSES = 4
EPSILON = 32 / 255
THREAT = "linf:32/255"


@cache
def data(frames: int = 2) -> tuple[Tensor, Tensor]:
    """48 clips (N, 3, T, 8, 8) of four noisy patterns, on the 8-bit lattice; images (N, 3, 8, 8) for 0 frames."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, frames, 8, 8) if frames else (3, 8, 8)
    patterns = torch.rand(CLASSES, *shape, generator=generator).round() - 0.5
    labels = torch.arange(48) % CLASSES
    noise = torch.randn(48, *shape, generator=generator)
    return ((0.5 + 0.3 * patterns[labels] + 0.1 * noise).clamp(0, 1) * 255).round() / 255, labels


def conv(frames: int = 2) -> nn.Sequential:
    if frames:
        return nn.Sequential(
            nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.AvgPool3d((1, 2, 2)), nn.Flatten(),
            nn.Dropout(0.2), nn.Linear(8 * frames * 16, CLASSES),
        )  # fmt: skip
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, CLASSES))


def trained(network: nn.Module, frames: int = 2, epsilon: float = 0.0, steps: int = 40) -> nn.Module:
    """The network trained on the clips, adversarially (FGSM) where epsilon is above 0; in eval mode."""
    clips, labels = data(frames)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        shown = clips
        if epsilon:
            leaf = clips.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(network(leaf), labels), leaf)
            shown = (clips + epsilon * gradient.sign()).clamp(0, 1)
        optimizer.zero_grad()
        F.cross_entropy(network(shown), labels).backward()
        optimizer.step()
    return network.eval()


@cache
def standard(frames: int = 2) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return trained(conv(frames), frames)


@cache
def robust() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return trained(conv(), epsilon=EPSILON)


class Wrapped(nn.Module):
    """A network between two functions."""

    def __init__(self, before: Callable = lambda clips: clips, after: Callable = lambda logits: logits) -> None:
        super().__init__()
        self.network, self.before, self.after = standard(), before, after

    def forward(self, clips: Tensor) -> Tensor:
        return self.after(self.network(self.before(clips)))


class Noisy(nn.Module):
    """A network that draws noise in front of it, also in eval mode."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.network, self.deviation = standard(), deviation

    def forward(self, clips: Tensor) -> Tensor:
        return self.network(clips + self.deviation * torch.randn_like(clips))


class Sampled(nn.Module):
    """A network of a random tenth of the pixels, drawn in every pass: each gradient is zero for all others."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = nn.Sequential(nn.Flatten(), nn.Linear(384, 32), nn.ReLU(), nn.Linear(32, CLASSES))
            self.network = trained(nn.Sequential(nn.Dropout(0.7), layers), steps=150)[1]

    def forward(self, clips: Tensor) -> Tensor:
        return self.network(F.dropout(clips - 0.5, 0.9))


class Masked(nn.Module):
    """A network whose gradient points anywhere: of noise that the forward pass does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.network = standard()

    def forward(self, clips: Tensor) -> Tensor:
        exact = self.network(clips).detach()
        noise = torch.sin(1e4 * clips).flatten(1)[:, :CLASSES]
        return exact + noise - noise.detach()


class Rounded(nn.Module):
    """A transform of few gray levels, whose gradient is zero."""

    def forward(self, clips: Tensor) -> Tensor:
        return (clips * 15).round() / 15


def pgd(network: nn.Module, clips: Tensor, labels: Tensor, epsilon: float = EPSILON, steps: int = 10) -> Tensor:
    bound = AdditiveLinf(epsilon=epsilon, step_size=epsilon / 4)
    return craft(network, clips, labels, Ascent(perturbation=bound, start=UniformNoise(radius=epsilon), steps=steps))


def own_pgd(network: nn.Module, clips: Tensor, labels: Tensor, loss: Callable, mask: float | Tensor = 1.0) -> Tensor:
    """PGD as in many evaluations: `loss` (network, clips, labels) -> a number; steps only where the mask is 1."""
    moved = clips.clone()
    for _ in range(10):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(network, moved, labels), moved)
        moved = moved.detach() + EPSILON / 4 * gradient.sign() * mask
        moved = (clips + (moved - clips).clamp(-EPSILON, EPSILON)).clamp(0, 1)
    return moved


def cross_entropy(network: nn.Module, clips: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(network(clips), labels)


def eot(network: nn.Module, clips: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([F.cross_entropy(network(clips), labels, reduction="sum") for _ in range(10)]).mean()


def half_mean(network: nn.Module, clips: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of sure predictions in float16: its gradients round to zero."""
    with torch.autocast("cpu", torch.float16):
        logits = network(clips)
    return F.cross_entropy(4 * logits.half(), labels)


def on_another(network: nn.Module, clips: Tensor, labels: Tensor) -> Tensor:
    return own_pgd(robust(), clips, labels, cross_entropy)


def in_train_mode(network: nn.Module, clips: Tensor, labels: Tensor) -> Tensor:
    return own_pgd(network.train(), clips, labels, cross_entropy)


def normalized_and_clipped(network: nn.Module, clips: Tensor, labels: Tensor) -> Tensor:
    """It clips the normalized clips to [0, 1], as if they were pixels."""
    moved = own_pgd(network, ((clips - 0.5) / 0.25).clamp(0, 1), labels, cross_entropy)
    return (moved * 0.25 + 0.5).clamp(0, 1)


def few_pixels(clips: Tensor) -> Tensor:
    mask = torch.zeros_like(clips[:1])
    mask[..., :1, :1] = 1
    return mask
