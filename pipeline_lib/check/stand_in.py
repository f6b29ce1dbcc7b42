"""A stand-in: a small network trained on the spot, whose adversarial clips may fool the network that is checked."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline_lib.check.target import Counter, uncounted

EPOCHS = 30
WIDTH = 16
LARGEST_SIDE = 56  # larger frames are averaged down first
BATCH = 16


def trained_stand_in(clips: Tensor, labels: Tensor, classes: int, seed: int, count: Counter = uncounted) -> nn.Module:
    """A network of two convolutions, trained on these clips (N, C, T, H, W) or (N, C, H, W) and their labels.

    count: is called in each step with 0 passes; it may end the training by an exception.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = small_network(clips.shape[1:], classes).to(clips.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(EPOCHS):
            for some in torch.randperm(len(clips)).split(BATCH):
                count(0)
                loss = F.cross_entropy(network(clips[some]), labels[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return network.eval()


def small_network(shape: Sequence[int], classes: int) -> nn.Module:
    """Clips of this shape, (C, T, H, W) or (C, H, W), to logits (N, classes)."""
    video = len(shape) == 4
    convolution = nn.Conv3d if video else nn.Conv2d
    factor = -(-max(shape[-2:]) // LARGEST_SIDE)
    smaller: nn.Module = nn.AvgPool3d((1, factor, factor)) if video else nn.AvgPool2d(factor)
    grid = 2
    pooled: nn.Module = nn.AdaptiveAvgPool3d(grid) if video else nn.AdaptiveAvgPool2d(grid)
    features = 2 * WIDTH * grid ** (3 if video else 2)
    return nn.Sequential(
        smaller,
        convolution(shape[0], WIDTH, 3, stride=2, padding=1),
        nn.ReLU(),
        convolution(WIDTH, 2 * WIDTH, 3, stride=2, padding=1),
        nn.ReLU(),
        pooled,
        nn.Flatten(),
        nn.Linear(features, classes),
    )
